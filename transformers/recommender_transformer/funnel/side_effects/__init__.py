"""Side effects: what happens after an answer."""
