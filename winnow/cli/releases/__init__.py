"""Commands about releases: whether one may become live, which one is, and how they differ."""
