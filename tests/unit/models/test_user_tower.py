"""The user tower after the newest event alone, as it is served, and after each event, as it is trained."""

import pytest
import torch

from winnow.models.towers import Shapes, UserTower

_LENGTH, _DIMENSION, _EVENTS = 7, 8, 2


@pytest.mark.parametrize("layers", [1, 3])
def test_the_newest_vector_is_the_last_of_all(layers: int) -> None:
    torch.manual_seed(0)
    shapes = Shapes(
        items=20,
        events=_EVENTS,
        item_cardinalities=(),
        item_tables=(),
        item_numerics=(),
        user_cardinalities=(3,),
        user_tables=(0,),
        user_numerics=1,
        modalities={},
    )
    tower = UserTower(shapes, _DIMENSION, layers, 2, _LENGTH, 0.1).eval()
    items = torch.randint(1, 21, (3, _LENGTH))
    items[0, :4] = 0
    items[1] = 0
    inputs = (
        items,
        torch.randn(3, _LENGTH, _DIMENSION),
        torch.randint(0, _EVENTS + 1, (3, _LENGTH)),
        torch.rand(3, _LENGTH) * 1e5,
        torch.tensor([[0], [1], [2]]),
        torch.randn(3, 1),
    )
    with torch.inference_mode():
        after_each, newest = tower(*inputs), tower(*inputs, newest=True)
    assert newest.shape == (3, 1, _DIMENSION)
    torch.testing.assert_close(newest[:, 0], after_each[:, -1])
