"""``/ask``: ask the recommender in any form, see the answer as cards and the funnel behind it, and act."""
