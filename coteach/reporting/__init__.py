"""The papers' tables and figures, from the folders of finished runs."""
