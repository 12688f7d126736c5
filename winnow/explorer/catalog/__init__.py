"""``/catalog``, ``/item`` and ``/map``: search the items, see one with its neighbours, and all of them as a map."""
