"""Settings of the running release that take effect without a build: weights and rules."""
