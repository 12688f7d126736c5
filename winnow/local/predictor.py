"""What computes the models of a release."""

from typing import Literal

Predictor = Literal["triton", "embedded"]
"""Triton, or ONNX Runtime in the transformer's process, with the same graphs."""
