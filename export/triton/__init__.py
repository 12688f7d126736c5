"""Triton: configurations and version folders of the model repository, and TensorRT plans."""
