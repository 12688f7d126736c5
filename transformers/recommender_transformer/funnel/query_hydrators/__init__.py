"""Query hydrators: what is known about the user."""
