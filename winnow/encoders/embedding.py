"""Encode a whole catalog, batch by batch."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from winnow.encoders.protocol import Encoder

logger = logging.getLogger(__name__)

_BATCH = 256
_EXAMPLES = 3


def embed(encoder: Encoder, content: Sequence[str], show_progress: bool) -> NDArray[np.float32]:
    """Encode every item that has the modality.

    Args:
        encoder: of one modality.
        content: per item, its text or the location of its picture; empty where it has none.
        show_progress: show a bar.

    Returns:
        float32 [items, dimension], of unit length; zeros where the item lacks the modality or its content cannot be
        read. The latter are counted in the log, with examples.
    """
    vectors = np.zeros((len(content), encoder.dimension), np.float32)
    rows = np.flatnonzero([bool(entry) for entry in content])
    module = encoder.module.eval()
    broken: list[str] = []
    with tqdm(total=len(rows), desc=f"embed {encoder.modality}", unit="item", disable=not show_progress) as bar:
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            prepared, problems = encoder.prepare([content[row] for row in batch])
            broken += [problem for problem in problems if problem is not None]
            if len(prepared):
                readable = batch[[problem is None for problem in problems]]
                with torch.inference_mode():
                    vectors[readable] = module(torch.from_numpy(prepared)).numpy()
            bar.update(len(batch))
    if broken:
        logger.warning(
            "%d of %d items have no usable %s and go without, among them: %s",
            len(broken),
            len(rows),
            encoder.modality,
            "; ".join(broken[:_EXAMPLES]),
        )
    return vectors
