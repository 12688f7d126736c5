"""Pretrained models of this machine: a folder, or an entry of Hugging Face's cache. Nothing is downloaded."""

from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from winnow.encoders.inputs import Modality
from winnow.errors import WinnowError


def model_folder(modality: Modality, model: str) -> Path:
    """The folder of a model: ``model`` itself, or the cached snapshot of a repository of that name.

    Raises:
        WinnowError: ``model`` is neither.
    """
    if Path(model).is_dir():
        return Path(model)
    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise _absent(modality, model, model) from error


def cached_file(modality: Modality, model: str, repository: str, names: tuple[str, ...]) -> Path:
    """The first of the files of a repository that is in the cache.

    Raises:
        WinnowError: none is in the cache.
    """
    for name in names:
        try:
            return Path(hf_hub_download(repository, name, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    raise _absent(modality, model, repository)


def _absent(modality: Modality, model: str, repository: str) -> WinnowError:
    return WinnowError(
        f"{modality}.model {model!r} is neither a folder nor in Hugging Face's cache on this machine: download it once "
        f"(`hf download {repository}`), or name a folder with the model"
    )
