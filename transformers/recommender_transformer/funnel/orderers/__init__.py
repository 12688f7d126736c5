"""In which order they are shown."""
