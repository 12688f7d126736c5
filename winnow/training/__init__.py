"""Training of a release's models: the retriever, the ranker and the tables that are fitted rather than learned."""
