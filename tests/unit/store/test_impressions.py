"""Features in impressions round-trip exactly."""

import numpy as np
import pytest

from winnow.feedback.impressions import ONE_IN, Served, decode, digest, encode, sampled
from winnow.schema import Feature, FeatureSchema
from winnow.store.history import EMPTY, History

SCHEMA = FeatureSchema(
    item=(Feature(name="category", kind="categorical", width=2, cardinality=9), Feature(name="price", kind="numeric")),
    user=(Feature(name="country", kind="categorical", cardinality=4),),
    events=("view",),
    event_values=(1.0,),
    event_windows_ms=(86_400_000,),
    conversions=("view",),
)


def served(items: int = 3, history: History | None = None) -> Served:
    rng = np.random.default_rng(0)
    rows = np.zeros(items, SCHEMA.item_dtype)
    rows["index"], rows["categorical"] = np.arange(items), rng.integers(0, 9, (items, 2))
    rows["numeric"] = rng.standard_normal((items, 1))
    user = np.zeros(1, SCHEMA.user_dtype)
    user["categorical"] = 2
    moments = np.arange(1_700_000_000_000, 1_700_000_000_004, dtype=np.int64)
    events = History(np.arange(1, 5, dtype=np.int32), np.ones(4, np.int32), moments) if history is None else history
    return Served(rows, user[0], events)


def fields(given: Served) -> dict[bytes, bytes]:
    return {name.encode(): value for name, value in encode(given).items()}


@pytest.mark.parametrize("given", [served(), served(0), served(history=EMPTY)])
def test_features_round_trip(given: Served) -> None:
    read = decode(fields(given), SCHEMA)
    assert (read.items == given.items).all()
    assert read.user == given.user
    for ours, theirs in zip(read.history, given.history, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tolist() == theirs.tolist()
    assert digest(read) == digest(given)


def test_features_have_different_digests() -> None:
    other = served()
    other.items["numeric"][1, 0] += 1e-6
    assert digest(other) != digest(served())


@pytest.mark.parametrize("field", ["item_rows", "user_row", "history_items", "history_timestamps"])
def test_truncated_and_missing_features_are_refused(field: str) -> None:
    whole = fields(served())
    for cut in (3, 8):
        with pytest.raises(ValueError, match=r".+"):
            decode(whole | {field.encode(): whole[field.encode()][:-cut]}, SCHEMA)
    del whole[field.encode()]
    with pytest.raises(ValueError, match=field):
        decode(whole, SCHEMA)


def test_one_request_in_sixteen_keeps_its_features() -> None:
    kept = [sampled(f"request-{n}") for n in range(16_000)]
    assert sum(kept) == pytest.approx(16_000 / ONE_IN, rel=0.1)
