"""What business rules keep in Redis: the live rules, and what users were shown."""
