"""Business rules of a query: those in force and the request's, and what they did."""
