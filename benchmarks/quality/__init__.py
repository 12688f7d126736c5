"""Quality: encoders, filters, features."""
