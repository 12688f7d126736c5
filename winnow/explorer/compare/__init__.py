"""``/compare``: two lists side by side, of two users, of two settings or of two releases.

``sides`` reads what is compared from the address, ``lists`` asks for the two lists, ``overlap`` measures how much they
share and how far items move, and ``beside`` serves a release that is not live in processes of its own.
"""
