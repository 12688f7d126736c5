"""A ``dataset.yaml`` beside ``NAME.inter``, which overrides what the rule for atomic files decides."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from winnow.datasets.canonical.report import reading
from winnow.datasets.canonical.spec import FILE, DatasetSpec, explained
from winnow.errors import DataError

_FIELDS = ("name", "events", "conversions", "repeats", "max_bad_share")


def overridden(decided: DatasetSpec, folder: Path, log: str) -> DatasetSpec:
    """The description of a folder of atomic files.

    Args:
        decided: the description by the rule.
        folder: the folder, with or without a ``dataset.yaml``.
        log: name of the folder's log.

    Returns:
        ``decided`` with the fields of the file; ``decided`` itself where there is no file.

    Raises:
        DataError: the file is broken, or has other fields or event types than it may; the message names them.
    """
    path = folder / FILE
    if not path.exists():
        return decided
    values = ", ".join(f"{name}: {value:g}" for name, value in decided.values.items())
    with explained(str(path), f"events: {{{values}}}\nrepeats: hide\n"):
        with reading(str(folder), FILE):
            given = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
        faults = [f"the file: must have fields such as repeats: hide, got {given!r:.60}"]
        if isinstance(given, dict):
            faults = list(_faults(given, decided, log))
        if faults:
            raise DataError(f"{path} is broken: " + "".join(f"\n  {fault}" for fault in faults))
        if "events" in given:
            # In the order of the rule, whose codes the types keep.
            given["events"] = {name: given["events"][name] for name in decided.events}
        return DatasetSpec.model_validate(decided.model_dump() | given)


def _faults(given: dict[object, object], decided: DatasetSpec, log: str) -> Iterator[str]:
    for name in (name for name in given if name not in _FIELDS):
        yield (
            f"{name}: is no field of a {FILE} beside {log}, which may have {', '.join(_FIELDS)}; remove it, or remove "
            f"{log} to read tables"
        )
    types = given.get("events", {})
    if not isinstance(types, dict):
        yield f"events: must be the event types of {log}, each with its value, got {types!r:.60}"
        return
    missing = [name for name in decided.events if name not in types] if "events" in given else []
    unknown = [str(name) for name in types if name not in decided.events]
    if missing or unknown:
        remedy = [f"add {', '.join(missing)}"] if missing else []
        remedy += [f"remove {', '.join(unknown)}"] if unknown else []
        yield f"events: {log} has the types {', '.join(decided.events)}: {' and '.join(remedy)}"
    for name, kind in types.items():
        if isinstance(kind, dict) and kind.get("full_amount") is not None:
            yield f"events.{name}.full_amount: the events of {log} have no amounts; remove it"
