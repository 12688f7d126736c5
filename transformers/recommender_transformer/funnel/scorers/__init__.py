"""Scorers: how well the candidates suit the user and the query."""
