"""The KServe server: its models, start-up check and shutdown."""
