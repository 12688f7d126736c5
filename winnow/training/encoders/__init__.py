"""Training of the encoders on the captioned items of a catalog."""
