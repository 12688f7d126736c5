"""What is known of the candidates."""
