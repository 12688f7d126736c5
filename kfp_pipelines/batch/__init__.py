"""The pipeline of batches: recommendations of many users, written to Parquet files."""
