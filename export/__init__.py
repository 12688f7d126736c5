"""Export of trained PyTorch models to ONNX and to Triton's model repository.

:func:`export.release.export_release` writes a release, :func:`export.encoders.export_encoders` an encoder's precisions.
Each graph is checked (:mod:`export.graphs`) and gets its Triton configurations (:mod:`export.triton`). Nothing is
trained or fitted here.
"""
