import subprocess
import sys

import numpy as np
import pytest

from winnow.filtering.hashing import item_hash, item_hashes
from winnow.filtering.seen import FALSE_POSITIVE_RATE, SMALLEST, SeenFilter

HASHES = item_hashes(f"item-{n}" for n in range(30_000))


def test_hashes_are_the_same_in_every_process() -> None:
    code = "from winnow.filtering.hashing import item_hash; print(item_hash('Käse 7'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == item_hash("Käse 7")
    assert len(set(HASHES)) == len(HASHES)


def test_nothing_that_went_in_is_denied_however_full_it_gets() -> None:
    seen = SeenFilter()
    for start in range(0, 5000, 50):
        seen.update(HASHES[start : start + 50])
        seen = SeenFilter.from_bytes(seen.to_bytes())
    assert all(value in seen for value in HASHES[:5000])


def test_false_positives_stay_below_the_rate_when_it_outgrows_its_capacity() -> None:
    seen = SeenFilter()
    seen.update(HASHES[: 20 * SMALLEST])
    wrong = sum(value in seen for value in HASHES[20 * SMALLEST :]) / (len(HASHES) - 20 * SMALLEST)
    assert 0 < wrong <= 1.5 * FALSE_POSITIVE_RATE


def test_batch_membership_is_single_membership() -> None:
    seen = SeenFilter.of(HASHES[1:400:3])
    items = np.arange(400, dtype=np.int32)
    assert seen.contains(items, HASHES).tolist() == [HASHES[item] in seen for item in items.tolist()]
    assert seen.contains(items[:0], HASHES).shape == (0,)


def test_it_is_small() -> None:
    assert len(SeenFilter().to_bytes()) < 256
    assert len(SeenFilter.of(HASHES[:1000]).to_bytes()) < 4096


@pytest.mark.parametrize("cut", [0, 5, 30])
def test_a_filter_cut_short_is_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match="seen filter"):
        SeenFilter.from_bytes(SeenFilter().to_bytes()[:cut])
