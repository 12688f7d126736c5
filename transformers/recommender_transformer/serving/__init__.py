"""The KServe server: its models, start-up checks and shutdown."""
