"""Readers: RecBole atomic files, folders of Parquet and CSV, S3 and the Glue catalog."""
