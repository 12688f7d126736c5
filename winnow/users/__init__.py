"""Live changes of users: attributes, merges and erasures."""
