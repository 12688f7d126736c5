"""The codec of the live weights."""

from winnow.store.objectives import decode


def test_entries_that_are_no_weight_of_the_release_are_named() -> None:
    entries = {
        b"view": b"0.5",
        b"buy": b"-1e3",
        b"dislike": b"1001",
        b"share": b"1",
        b"watch": b"much",
        b"like": b"nan",
        b"\xff": b"1",
    }
    weights, malformed = decode(entries, ("view", "buy", "dislike", "watch", "like"))
    assert weights == {"view": 0.5, "buy": -1000.0}
    assert malformed == [f"{name!r}: {text!r}" for name, text in list(entries.items())[2:]]
