"""The tables of the candidate sources that are fitted rather than learned."""
