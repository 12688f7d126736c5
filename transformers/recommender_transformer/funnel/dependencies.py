"""The order in which sources run: each after the sources that its ``needs`` names."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from recommender_transformer.funnel.stages import Source


def dependency_order(sources: Sequence[Source]) -> list[Source]:
    """The sources, sorted topologically by ``needs``.

    Raises:
        ValueError: a needed source is not among ``sources``, or sources need each other.
    """
    by_name = {source.name: source for source in sources}
    for source in sources:
        missing = [name for name in source.needs if name not in by_name]
        if missing:
            raise ValueError(f"source {source.name} needs {missing[0]}, which is none of {', '.join(by_name)}")
    try:
        names = TopologicalSorter({source.name: source.needs for source in sources}).static_order()
        return [by_name[name] for name in names]
    except CycleError as error:
        raise ValueError(f"sources need each other: {' -> '.join(error.args[1])}") from None
