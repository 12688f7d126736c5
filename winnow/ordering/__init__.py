"""From scores to the order that is shown."""
