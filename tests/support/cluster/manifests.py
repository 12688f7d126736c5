"""Rendered overlays, and changes that plant faults in them."""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from cluster_validation.manifests.objects import Finding, Objects, ToolMissing, render

Check = Callable[[Objects], Iterator[Finding]]
Mutation = Callable[[Objects], None]


@cache
def rendered(overlay: str) -> Objects:
    """The objects of an overlay; skips the test where no kustomize is installed."""
    try:
        return render(overlay)
    except ToolMissing as missing:
        pytest.skip(str(missing))


def changed(overlay: str, mutate: Mutation) -> Objects:
    """A copy of an overlay's objects with a change."""
    objects = copy.deepcopy(rendered(overlay))
    mutate(objects)
    return Objects(objects.all, objects.outside)  # A new one, without the cached properties of the first.


def findings(objects: Objects, check: Check) -> list[str]:
    """The findings of a check; skips the test where the check's tool is not installed."""
    try:
        return [str(finding) for finding in check(objects)]
    except ToolMissing as missing:
        pytest.skip(str(missing))


def at(objects: Objects, kind: str, name: str, path: str) -> Any:
    """The value at a path of one object; numbers are positions in lists, and ``~1`` is a slash in a name."""
    value: Any = objects.find(kind, name)
    for step in filter(None, path.split("/")):
        value = value[_step(step)]
    return value


def _step(written: str) -> int | str:
    return int(written) if written.isdecimal() else written.replace("~1", "/")


def put(kind: str, name: str, path: str, value: Any) -> Mutation:
    """Set the field at a path of one object."""
    folder, _, field = path.rpartition("/")

    def mutate(objects: Objects) -> None:
        at(objects, kind, name, folder)[_step(field)] = value

    return mutate


def drop(kind: str, name: str, path: str) -> Mutation:
    """Delete the field at a path of one object."""
    folder, _, field = path.rpartition("/")

    def mutate(objects: Objects) -> None:
        del at(objects, kind, name, folder)[_step(field)]

    return mutate


def remove(kind: str, name: str) -> Mutation:
    """Delete an object."""
    return lambda objects: objects.all.remove(objects.find(kind, name) or {})


def arg(container: str, old: str, new: str) -> Mutation:
    """Replace an argument of a container of the transformer's pod."""

    def mutate(objects: Objects) -> None:
        containers = at(objects, "InferenceService", "recommender", "spec/transformer/containers")
        (args,) = [each["args"] for each in containers if each["name"] == container]
        args[args.index(old)] = new

    return mutate
