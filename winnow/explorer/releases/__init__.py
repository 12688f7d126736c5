"""Pages about releases: all of a home, one with its report, gate and differences, and which one is live.

``listing`` reads what there is to know, and ``views`` shows it, with the documents of ``reports``. ``commands`` runs
``winnow`` as a process of its own; ``change`` promotes and rolls back so, and ``actions`` are the pages of that.
"""
