"""The neural networks of a release, in PyTorch: towers, ranker and encoders. Serving imports none of this."""
