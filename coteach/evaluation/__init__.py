"""Scores of spans and tags, the vote of several systems, and how sure a score is."""
