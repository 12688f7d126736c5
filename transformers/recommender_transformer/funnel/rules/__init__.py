"""The business rules of one query: those in force and those of its request."""
