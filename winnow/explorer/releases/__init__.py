"""Pages about releases: all of a home, one with its report, gate and differences, and which one is live.

``listing`` reads what there is to know; ``views`` shows it; ``commands`` runs ``winnow`` as a process of its own, which
``change`` does to promote and to roll back, and ``actions`` are the pages of that.
"""
