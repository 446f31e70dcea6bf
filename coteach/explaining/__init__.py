"""What students' answers rest on: shown word by word, and compared between two of them."""
