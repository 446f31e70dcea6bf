"""Where a student looks: its attention on the words of a text, as numbers and as pictures."""
