"""Request and response formats: KServe v1 and v2, and CloudEvents."""
