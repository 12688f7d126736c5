"""The models of a release: in Triton, or in this process."""
