"""Building the encoders of a catalog into one folder.

The folder has ``settings.json`` (settings, and modalities with an encoder), ``encoders.json`` (inputs of the encoders),
``tokenizer.json``, ``weights.safetensors`` and ``weights.tokenizer.json`` of winnow-tiny, and ``weights.{modality}/``
of a pretrained encoder. The export needs neither the catalog nor Hugging Face's cache.
"""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from winnow.encoders.catalog import read_contents
from winnow.encoders.inputs import MODALITIES, EncoderInputs, Modality
from winnow.encoders.preparation import INPUTS_FILE, TOKENIZER_FILE
from winnow.encoders.settings import EncoderSettings
from winnow.errors import WinnowError
from winnow.models.encoders.protocol import Encoder
from winnow.models.encoders.text import TextEncoder
from winnow.settings.training import ComputeSettings

logger = logging.getLogger(__name__)

_SETTINGS_FILE = "settings.json"


class Described(BaseModel):
    """``settings.json``: the encoders of a folder, and their settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    modalities: tuple[Modality, ...]
    settings: EncoderSettings


def train_encoders(
    dataset_folder: Path,
    out: Path,
    settings: EncoderSettings,
    compute: ComputeSettings,
    show_progress: bool,
    keep_in: str = "",
) -> list[float]:
    """Build the encoders of the settings: load pretrained ones, and train ``winnow-tiny`` on the catalog.

    A modality that no item of the catalog has gets no encoder. ``winnow-tiny`` needs captions, and two readable images
    or sounds of captioned items; a warning is logged where they are missing.

    Args:
        dataset_folder: folder with ``items.parquet``.
        out: the folder to write.
        settings: the encoder of each modality.
        compute: device and precision of the training.
        show_progress: show progress bars.
        keep_in: folder or ``s3://`` address that keeps the weights of ``winnow-tiny`` from run to run, so that the same
            content is not trained on again; empty keeps none.

    Returns:
        The loss of every training step; empty where nothing was trained.

    Raises:
        WinnowError: a pretrained model is not on this machine, or ``keep_in`` cannot be reached.
    """
    contents = read_contents(dataset_folder)
    present: list[Modality] = [name for name in MODALITIES if getattr(settings, name) and any(contents.of(name))]
    if not any(contents.captions):
        logger.warning("the catalog has no titles, categories or descriptions: items get no text embeddings")
    out.mkdir(parents=True, exist_ok=True)
    encoders: dict[Modality, Encoder] = {}
    losses: list[float] = []
    if present:
        # The classes of the encoders take seconds to import, which a catalog of ids does not need.
        from winnow.training.encoders import kinds
        from winnow.training.encoders.kept import KeptWeights

        encoders, losses = kinds.make(contents, present, out, settings, compute, KeptWeights(keep_in), show_progress)

    inputs = EncoderInputs.model_validate({name: encoder.input for name, encoder in encoders.items()})
    (out / INPUTS_FILE).write_text(inputs.model_dump_json(indent=1))
    text = encoders.get("text")
    if isinstance(text, TextEncoder):
        text.tokenizer.save(str(out / TOKENIZER_FILE))
    described = Described(modalities=tuple(inputs.widths), settings=settings)
    (out / _SETTINGS_FILE).write_text(described.model_dump_json(indent=1))
    return losses


def load_encoders(folder: Path) -> dict[Modality, Encoder]:
    """Load the encoders of :func:`train_encoders`, in evaluation mode, by modality in the order of ``MODALITIES``.

    Raises:
        WinnowError: the folder has no encoders.
    """
    try:
        described = Described.model_validate_json((folder / _SETTINGS_FILE).read_bytes())
    except FileNotFoundError:
        raise WinnowError(f"no encoders at {folder}: train them with `winnow build`") from None
    if not described.modalities:
        return {}
    from winnow.training.encoders import kinds  # see train_encoders

    return kinds.load(folder, described.modalities, described.settings)
