"""What the funnel reads: models in Triton, users and items in Redis, and the item rows held in this process."""
