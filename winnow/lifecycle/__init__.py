"""The life of a home's releases: which one is live, what differs between two, and which may be removed."""
