"""What a history says about a candidate, counted by hand."""

import math

import pytest
import torch

from winnow.models.affinity import HistoryAffinity

# Items 1 and 2 are of category 1 with the numbers 10 and 20, item 3 is of category 2 with 100, item 4 of none with 7.
AFFINITY = HistoryAffinity(
    torch.tensor([0, 1, 1, 2, 0]), torch.tensor([[0.0], [10.0], [20.0], [100.0], [7.0]]), cardinality=3, events=2
)


def test_events_are_counted_by_category_and_type_and_numbers_within_their_category() -> None:
    history = torch.tensor([[0, 1, 2, 3]], dtype=torch.int32)
    events = torch.tensor([[0, 1, 2, 1]], dtype=torch.int32)
    features = AFFINITY(history, events, torch.tensor([[1, 2, 0]]), torch.tensor([[[18.0], [100.0], [7.0]]]))
    one, two = math.log(2), math.log(3)
    usual = (-5.0 + 5.0 + 0.0) / 3
    assert features.shape == (1, 3, AFFINITY.width)
    assert features[0, 0].tolist() == pytest.approx([one, one, two, one, 3.0, usual, 3.0 - usual])
    assert features[0, 1].tolist() == pytest.approx([one, 0.0, two, one, 0.0, usual, 0.0])
    assert features[0, 2, :2].tolist() == [0.0, 0.0], "items without a category share none"


def test_an_empty_history_gives_zeros_beside_the_candidates_own_number() -> None:
    empty = torch.zeros(1, 4, dtype=torch.int32)
    features = AFFINITY(empty, empty, torch.tensor([[1]]), torch.tensor([[[18.0]]]))
    assert features[0, 0].tolist() == pytest.approx([0, 0, 0, 0, 3.0, 0, 3.0])
