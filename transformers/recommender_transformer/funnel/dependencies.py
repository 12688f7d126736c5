"""Sources that need what another source finds out: they say so in ``needs``, and take their turns after it."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from recommender_transformer.funnel.stages import Source


def dependency_order(sources: Sequence[Source]) -> list[Source]:
    """The sources, each after those that it needs.

    Raises:
        ValueError: one needs a source that there is not, or some need each other.
    """
    by_name = {source.name: source for source in sources}
    for source in sources:
        unknown = [name for name in source.needs if name not in by_name]
        if unknown:
            raise ValueError(f"source {source.name} needs {unknown[0]}, which is none of {', '.join(by_name)}")
    try:
        ordered = TopologicalSorter({source.name: source.needs for source in sources}).static_order()
        return [by_name[name] for name in ordered]
    except CycleError as error:
        raise ValueError(f"sources need each other: {' -> '.join(error.args[1])}") from None
