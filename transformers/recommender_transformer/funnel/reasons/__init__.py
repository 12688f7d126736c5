"""Reasons: why an item is in an answer, in words, with the evidence that the words were written from."""
