"""The torch modules: the two towers, the ranker, their served forms, and the encoders.

Serving imports none of them: it reads the ONNX graphs that :mod:`export` makes of them.
"""
