"""How much two ranked lists share."""

from collections.abc import Sequence

PERSISTENCE = 0.9
"""Of :func:`rank_biased_overlap`: the first ten places have 86 % of the weight."""


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], persistence: float = PERSISTENCE) -> float:
    """Rank-biased overlap, extrapolated from the lists' ends: 1 for equal lists, 0 for lists without a common item.

    The share of common items among the first d, averaged over all depths d with geometric weights, so that the first
    places count most (Webber, Moffat and Zobel, A Similarity Measure for Indefinite Rankings, equation 32). Two empty
    lists are equal.

    Args:
        first: items, each once.
        second: items, each once; the lengths may differ.
        persistence: between 0 and 1; a larger one gives later places more weight.
    """
    short, long = sorted((first, second), key=len)
    if not short:
        return 0.0 if long else 1.0
    s, n = len(short), len(long)
    common = 0
    shorter: set[str] = set()
    longer: set[str] = set()
    at_short, total = 0, 0.0
    for depth in range(1, n + 1):
        new = long[depth - 1]
        longer.add(new)
        common += new in shorter
        if depth <= s:
            shorter.add(short[depth - 1])
            common += short[depth - 1] in longer
        if depth == s:
            at_short = common
        total += common / depth * persistence**depth
        if depth > s:
            total += at_short * (depth - s) / (s * depth) * persistence**depth
    rest = ((common - at_short) / n + at_short / s) * persistence**n
    return (1 - persistence) / persistence * total + rest
