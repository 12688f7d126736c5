"""What follows from an answer."""
