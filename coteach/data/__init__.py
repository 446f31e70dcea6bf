"""What is read: files become pages and annotations, and those become windows and batches."""
