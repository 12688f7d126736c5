"""What might suit."""
