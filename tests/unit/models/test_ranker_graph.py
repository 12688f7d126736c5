"""The exported form of the ranker computes what the trained ranker computes, for any feature set."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from winnow.models.affinity import HistoryAffinity
from winnow.models.ranker import PADDED, ServedRanker
from winnow.models.ranker_graph import RankerGraph
from winnow.models.towers import Shapes
from winnow.ranking.context import CONTEXT_FEATURES
from winnow.schema import NUMERIC_FEATURES

_ITEMS, _LENGTH, _DIMENSION, _COUNT, _NEW = 30, 9, 8, 40, 3
_USERS = ("full", "short", "empty", "only padding")


class Sizes(NamedTuple):
    """What data sets differ in; the defaults are the least."""

    events: int = 1
    conversions: tuple[int, ...] = ()
    categories: tuple[int, ...] = (1,)
    declared: int = 0
    traits: tuple[int, ...] = ()
    user_numbers: int = 0


def ranker(sizes: Sizes) -> ServedRanker:
    """A ranker of which every weight, also those that training starts at zero, is random."""
    torch.manual_seed(0)
    shapes = Shapes(
        items=_ITEMS,
        events=sizes.events,
        item_cardinalities=sizes.categories,
        item_tables=tuple(range(len(sizes.categories))),
        item_numerics=(),
        user_cardinalities=sizes.traits,
        user_tables=tuple(range(len(sizes.traits))),
        user_numerics=sizes.user_numbers,
        modalities={},
    )
    codes = torch.randint(0, sizes.categories[0], (_ITEMS + 1,))
    affinity = HistoryAffinity(codes, torch.randn(_ITEMS + 1, sizes.declared), sizes.categories[0], sizes.events)
    vectors = torch.nn.functional.normalize(torch.randn(_ITEMS + 1, _DIMENSION), dim=1)
    vectors[0] = 0.0
    numerics = len(NUMERIC_FEATURES) + sizes.declared
    model = ServedRanker(shapes, numerics, vectors, affinity, _LENGTH, 8, 0.0, sizes.conversions).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        model.mean += torch.randn_like(model.mean)
        model.scale *= 1.5
        model.sharpness *= 0.7
        model.calibration += 0.2 * torch.randn_like(model.calibration)
    return model


def tensors(sizes: Sizes) -> list[Tensor]:
    """The inputs of several users; candidates with padding, without category, and new ones."""
    users = len(_USERS)
    history = torch.randint(1, _ITEMS + 1, (users, _LENGTH), dtype=torch.int32)
    events = torch.randint(1, sizes.events + 1, (users, _LENGTH), dtype=torch.int32)
    for user, padding in enumerate((0, _LENGTH - 2, _LENGTH, 0)):
        history[user, :padding] = events[user, :padding] = 0
    items = torch.randint(0, _ITEMS + 1, (users, _COUNT), dtype=torch.int32)
    items[:, :_NEW] = _ITEMS + 1 + torch.arange(_NEW)
    items[-1] = 0
    columns = [torch.randint(0, size, (users, _COUNT), dtype=torch.int32) for size in sizes.categories]
    traits = [torch.randint(0, size, (users,), dtype=torch.int32) for size in sizes.traits]
    width = len(NUMERIC_FEATURES) + sizes.declared + len(CONTEXT_FEATURES)
    return [
        history,
        events,
        torch.rand(users, _LENGTH) * 1e6,
        torch.stack(traits, dim=1) if traits else torch.zeros(users, 1, dtype=torch.int32),
        torch.randn(users, max(1, sizes.user_numbers)),  # a tensor of Triton has no empty dimension
        items,
        torch.stack(columns, dim=2),
        3 * torch.randn(users, _COUNT, width),
        torch.nn.functional.normalize(torch.randn(users, _NEW, _DIMENSION), dim=2),
    ]


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(),
        Sizes(events=3, conversions=(1,), categories=(4, 6, 6), declared=2, traits=(3, 2), user_numbers=2),
        Sizes(events=4, conversions=(2, 3), categories=(5,), declared=1, traits=(7,)),
    ],
    ids=["least", "one conversion", "several conversions"],
)
def test_both_forms_are_equal(sizes: Sizes) -> None:
    trained, inputs = ranker(sizes), tensors(sizes)
    with torch.inference_mode():
        expected, scores = trained(*inputs)
        probabilities, found = RankerGraph(trained)(*inputs)
    assert scores[0].std() > 0.1
    torch.testing.assert_close(found, scores, atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(probabilities, expected, atol=2e-6, rtol=2e-5)
    padded = inputs[5] == 0
    assert not probabilities[padded].any()
    assert (found[padded] == PADDED).all()
