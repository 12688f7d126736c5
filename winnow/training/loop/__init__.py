"""What every training loop uses."""
