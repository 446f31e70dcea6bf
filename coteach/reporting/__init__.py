"""The co-teaching paper's tables and figures, from the folders of finished runs."""
