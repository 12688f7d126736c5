"""What DuckDB computes from a log in one process, on Spark: the same expressions, and no event passes the driver."""
