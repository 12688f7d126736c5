"""The report of an evaluation: one HTML file that needs no other file and no network.

``page`` collects what was measured and fills the template; ``verdict`` puts it into words; ``figures`` and ``forest``
draw it, with the look of ``charts``.
"""
