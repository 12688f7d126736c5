"""Which parameters an optimizer decays."""

from collections.abc import Iterable

from torch.nn import Parameter


def decay_groups(parameters: Iterable[Parameter], weight_decay: float) -> list[dict[str, object]]:
    """An optimizer's groups: matrices decay; gains, biases and scales do not."""
    chosen = list(parameters)
    return [
        {"params": [p for p in chosen if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in chosen if p.ndim <= 1], "weight_decay": 0.0},
    ]
