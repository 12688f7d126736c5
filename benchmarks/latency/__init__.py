"""How long: requests, events, new items, encoders."""
