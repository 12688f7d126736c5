"""Training at sizes beyond the demo's: the data sets are generated, and each figure has its target."""
