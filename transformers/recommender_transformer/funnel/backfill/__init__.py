"""Backfill: items for answers that the sources cannot fill."""
