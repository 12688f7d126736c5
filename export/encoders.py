"""Export the encoders of a catalog."""

from pathlib import Path

import torch

from export.parity import ParityRow
from export.repository import export_model
from winnow.encoders.build import load_encoders
from winnow.encoders.catalog import read_contents
from winnow.encoders.preparation import Preparation

BOUND = 1e-4
_SAMPLES = 64


def export_encoders(encoders_folder: Path, dataset_folder: Path, version: int, repository: Path) -> list[ParityRow]:
    """Export every encoder that was trained, compared on the catalog's own pictures and texts.

    Args:
        encoders_folder: what ``train_encoders`` wrote.
        dataset_folder: the catalog they were trained on.
        version: the release.
        repository: Triton's model repository.

    Returns:
        A row of parity figures per encoder.
    """
    contents = read_contents(dataset_folder)
    preparation = Preparation.load(encoders_folder)
    rows = []
    for encoder in load_encoders(encoders_folder).values():
        available = [entry for entry in contents.of(encoder.modality) if entry]
        prepared, _ = preparation.prepare_items(encoder.modality, available[:_SAMPLES])
        sample = {encoder.signature.inputs[0].name: torch.from_numpy(prepared)}
        rows.append(export_model(encoder.module, encoder.signature, version, repository, sample, BOUND))
    return rows
