"""Texts whose words are coloured by a weight: as numbers, as a page and as pictures."""
