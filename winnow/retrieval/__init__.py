"""Candidate sources: the two-tower retriever and co-visitation."""
