"""What a cluster does with a compiled pipeline."""
