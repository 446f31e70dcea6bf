"""The report's page: one file of HTML with everything that finished runs can show."""
