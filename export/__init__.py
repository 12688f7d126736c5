"""PyTorch to ONNX, with proof: checked graphs, parity figures, and the Triton configurations that go with them."""
