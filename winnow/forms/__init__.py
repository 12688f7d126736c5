"""The forms of a recommendation request: which fields select one, and which fields may be combined."""
