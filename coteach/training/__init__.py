"""What a run does: prepare, train, keep the best student, score, write it all down."""
