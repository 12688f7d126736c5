"""Pins: items that have a position of a list to themselves."""

from collections.abc import Mapping, Sequence


def with_pins(order: Sequence[int], pinned: Mapping[int, int]) -> list[int]:
    """A list with pinned elements at their positions; the others keep their order.

    Args:
        order: the others, best first.
        pinned: position, from 0 -> element. One beyond the end of the list follows its last element.
    """
    result = list(order)
    for position in sorted(pinned):
        result.insert(position, pinned[position])
    return result
