"""The sidecar as a process, the smallest release that it reads, and a sidecar that is killed at work."""
