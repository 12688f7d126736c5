"""Point-in-time features on Spark, by the expressions that DuckDB runs in one process. No event passes the driver."""
