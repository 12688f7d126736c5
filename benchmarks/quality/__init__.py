"""How good: encoders, filters, features."""
