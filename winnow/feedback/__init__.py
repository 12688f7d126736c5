"""What came back from people, on its way from Redis to the next build."""
