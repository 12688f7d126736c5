"""The explorer: pages that show what a running stack recommends, and why.

A process of its own, which talks to the stack as any client does: HTTP to the transformer, Redis' streams for reading,
files of releases mapped into memory. It imports neither torch nor pyarrow. ``base`` has what all pages share, each
further folder the pages of one area; ``routes`` lists them and ``app`` makes the application.
"""
