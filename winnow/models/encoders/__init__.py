"""Encoders of images, text and audio in PyTorch: trained on the catalog (``tiny``) or pretrained."""
