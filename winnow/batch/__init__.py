"""Recommendations of many users, written to Parquet files."""
