"""Keys and tokens of access control, and calls with them."""
