"""The online funnel: queries, candidates, the stages' protocols, and the runner that takes a query through them."""
