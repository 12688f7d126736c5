"""ONNX graphs: export from PyTorch, simplification, precisions, and parity with PyTorch."""
