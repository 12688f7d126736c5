"""``/people`` and ``/person``: find a user, and see what a recommendation starts from."""
