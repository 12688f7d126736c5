"""Pretrained image and text towers of ``open_clip``: any published model and tag, a file of weights, or a folder."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn

from winnow.encoders.inputs import ImageInput, Modality, TextInput
from winnow.encoders.settings import OpenClip
from winnow.errors import WinnowError
from winnow.models.encoders.clip_tokens import clip_tokenizer
from winnow.models.encoders.hub import cached_file
from winnow.models.encoders.image import ImageEncoder, ServedImageEncoder
from winnow.models.encoders.text import ServedTextEncoder, TextEncoder

_CONFIG = "open_clip_config.json"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def load_open_clip_image(choice: OpenClip) -> ImageEncoder:
    """Load the image tower, in evaluation mode.

    Raises:
        WinnowError: the model does not exist, or its weights are not on this machine.
    """
    config = _config("image", choice)
    visual = _model("image", choice, config).get_submodule("visual")
    size = config["model_cfg"]["vision_cfg"].get("image_size", 224)
    size = size if isinstance(size, int) else size[0]
    look = config["preprocess_cfg"]
    mean, std = look.get("mean", open_clip.OPENAI_DATASET_MEAN), look.get("std", open_clip.OPENAI_DATASET_STD)
    module = ServedImageEncoder(visual, mean, std).eval()
    return ImageEncoder(module, ImageInput(dimension=config["model_cfg"]["embed_dim"], size=size))


def load_open_clip_text(choice: OpenClip) -> TextEncoder:
    """Load the text tower and CLIP's tokenizer, in evaluation mode.

    Raises:
        WinnowError: the model does not exist or has another tokenizer, or its weights are not on this machine.
    """
    config = _config("text", choice)
    words = config["model_cfg"]["text_cfg"]
    if words.get("hf_tokenizer_name") or words.get("hf_model_name") or words.get("tokenizer_kwargs"):
        raise WinnowError(
            f"text.model {choice.model!r} does not use CLIP's tokenizer: choose a model that does, such as ViT-B-32"
        )
    text = _model("text", choice, config).get_submodule("text")
    length = words.get("context_length", 77)
    described = TextInput(dimension=config["model_cfg"]["embed_dim"], context_length=length)
    return TextEncoder(ServedTextEncoder(text).eval(), described, clip_tokenizer(length))


def save_open_clip(modality: Modality, choice: OpenClip, folder: Path) -> None:
    """Write a folder that the two functions above read: both towers, because open_clip loads whole models."""
    config = _config(modality, choice)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_model(modality, choice, config).state_dict(), folder / _WEIGHTS[0])
    (folder / _CONFIG).write_text(json.dumps(config, indent=1))


def _config(modality: Modality, choice: OpenClip) -> dict[str, Any]:
    """``model_cfg`` and ``preprocess_cfg``, as in a published folder."""
    if Path(choice.model).is_dir():
        try:
            config: dict[str, Any] = json.loads((Path(choice.model) / _CONFIG).read_bytes())
            return {"model_cfg": config["model_cfg"], "preprocess_cfg": config.get("preprocess_cfg", {})}
        except (OSError, ValueError, KeyError) as error:
            raise WinnowError(f"{modality}.model {choice.model!r} has no readable {_CONFIG}: {error}") from error
    model = open_clip.get_model_config(choice.model)
    if model is None:
        raise WinnowError(f"{modality}.model {choice.model!r} is neither a folder nor a model that open_clip knows")
    tag = open_clip.get_pretrained_cfg(choice.model, choice.pretrained or "")
    if tag.get("quick_gelu"):
        model["quick_gelu"] = True
    return {"model_cfg": model, "preprocess_cfg": {name: tag[name] for name in ("mean", "std") if tag.get(name)}}


def _weights(modality: Modality, choice: OpenClip) -> Path:
    if Path(choice.model).is_dir():
        for name in _WEIGHTS:
            if (Path(choice.model) / name).is_file():
                return Path(choice.model) / name
        raise WinnowError(f"{modality}.model {choice.model!r} has no weights: neither {' nor '.join(_WEIGHTS)}")
    if choice.pretrained and Path(choice.pretrained).is_file():
        return Path(choice.pretrained)
    tag = open_clip.get_pretrained_cfg(choice.model, choice.pretrained or "")
    if not tag.get("hf_hub"):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(choice.model)) or "none is published"
        raise WinnowError(
            f"{modality}.pretrained {choice.pretrained!r} is neither a file nor a tag of {choice.model} on Hugging "
            f"Face: choose among {tags}"
        )
    repository, _, name = tag["hf_hub"].rpartition("/")
    return cached_file(modality, choice.model, repository, (name,) if name else _WEIGHTS)


def _model(modality: Modality, choice: OpenClip, config: dict[str, Any]) -> nn.Module:
    path = _weights(modality, choice)
    settings = {name: value for name, value in config["model_cfg"].items() if name != "custom_text"}
    # A class with separate towers, whatever class the model was published as.
    model: nn.Module = open_clip.CustomTextCLIP(**settings)
    try:
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise WinnowError(f"{modality}.model {choice.model!r}: {path.name} does not fit it: {error}") from error
    return model.to(torch.float32).eval()
