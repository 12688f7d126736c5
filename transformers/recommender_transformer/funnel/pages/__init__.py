"""Pages: what a ``recommendation_id`` holds, so that the next page repeats nothing of the earlier ones."""
