"""Pretrained image features of ``timm``, such as ``resnet50``, the common baseline."""

from pathlib import Path
from typing import Any

import timm
from timm.models import save_for_hf

from winnow.encoders.inputs import ImageInput
from winnow.encoders.settings import Timm
from winnow.errors import WinnowError
from winnow.models.encoders.hub import cached_file
from winnow.models.encoders.image import ImageEncoder, ServedImageEncoder

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def load_timm(choice: Timm) -> ImageEncoder:
    """Load a model without its classifier, in evaluation mode.

    timm's own preparation crops the margin after resizing; the served encoder takes the whole centre square.

    Raises:
        WinnowError: timm does not have the model, or its weights are not on this machine.
    """
    if Path(choice.model).is_dir():
        model = _create(choice, f"local-dir:{choice.model}", None)
    elif timm.is_model(choice.model):
        published = timm.get_pretrained_cfg(choice.model)
        repository = published and published.hf_hub_id
        if not repository:
            raise WinnowError(f"image.model {choice.model!r} is published without weights: choose another")
        model = _create(choice, choice.model, cached_file("image", choice.model, repository, _WEIGHTS))
    else:
        raise WinnowError(f"image.model {choice.model!r} is neither a folder nor a model that timm knows")
    config: dict[str, Any] = model.pretrained_cfg
    described = ImageInput(dimension=model.num_features, size=config["input_size"][-1])
    return ImageEncoder(ServedImageEncoder(model, config["mean"], config["std"]).eval(), described)


def save_timm(encoder: ImageEncoder, folder: Path) -> None:
    """Write a folder that :func:`load_timm` reads."""
    save_for_hf(encoder.module.visual, str(folder), safe_serialization=True)


def _create(choice: Timm, name: str, file: Path | None) -> Any:
    overlay = {"file": str(file)} if file else None
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        raise WinnowError(f"image.model {choice.model!r} cannot be loaded: {error}") from error
