"""Training that goes on from a release: what a release keeps for it, and the training on the events since then."""
