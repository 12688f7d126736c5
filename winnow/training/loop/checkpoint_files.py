"""The files of one checkpoint, in a folder or on S3.

``torch.distributed.checkpoint`` writes the tensors, in the safetensors format: the index of its own format is a pickle,
which Winnow never reads. ``manifest.json`` names every file with its digest and is written last, so that what a killed
writer leaves is no checkpoint.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from warnings import filterwarnings

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter

from winnow import files
from winnow.errors import WinnowError

MANIFEST = "manifest.json"
"""Of the files of a checkpoint, the one that is written last."""

_MANIFEST_BYTES = 2**24
_FILE_BYTES = 2**28
"""Tensors that a file holds together: one file at a time is in memory a second time. Larger tensors are cut by rows."""


class DamagedCheckpoint(WinnowError):
    """A file of a checkpoint is missing, or differs from what was written."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=0)
    sha256: str


class _Manifest(BaseModel):
    """What a checkpoint holds.

    Attributes:
        position: where the training stood.
        tensors: name -> dtype and shape.
        files: name -> size and digest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    position: dict[str, JsonValue]
    tensors: dict[str, str]
    # A name must not lead out of the checkpoint's folder.
    files: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], _Entry]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files have been read and checked.

    Attributes:
        address: where it is stored.
        position: where the training stood.
    """

    address: str
    position: dict[str, JsonValue]
    _tensors: dict[str, str]
    _folder: Path
    _fetched: "TemporaryDirectory[str] | None"

    def load(self, into: Mapping[str, Tensor]) -> None:
        """Fill tensors in place, on whichever device they are; once, for a copy that came from S3 is then deleted.

        Args:
            into: name -> tensor, all that the checkpoint holds.

        Raises:
            WinnowError: the checkpoint holds other tensors.
        """
        forms = {name: _form(tensor) for name, tensor in into.items()}
        different = sorted(n for n in forms.keys() | self._tensors.keys() if forms.get(n) != self._tensors.get(n))
        if different:
            name = different[0]
            raise WinnowError(
                f"{self.address}: the checkpoint holds other tensors than this training ({len(different)} differ; e.g. "
                f"{name}: {self._tensors.get(name, 'none')} instead of {forms.get(name, 'none')}). Delete it to train "
                "from the beginning."
            )
        with self._fetched or nullcontext(), _distributed_checkpoint(self.address):
            reader = HuggingFaceStorageReader(str(self._folder))
            state_dict_loader.load(_pieces(into), storage_reader=reader, no_dist=True)


def write(address: str, position: Mapping[str, JsonValue], tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint.

    Args:
        address: of a folder that does not exist.
        position: where the training stands.
        tensors: name -> contiguous tensor on the CPU.

    Raises:
        WinnowError: it cannot be written.
    """
    if not address.startswith(files.S3):
        _commit(address, position, tensors, _write_tensors(Path(address), tensors))
        return
    with TemporaryDirectory(prefix="winnow-checkpoint-") as staged:
        entries = _write_tensors(Path(staged), tensors)
        for name in entries:
            files.upload(Path(staged) / name, files.inside(address, name))
    _commit(address, position, tensors, entries)


def read(address: str) -> Checkpoint:
    """Check every file of a checkpoint against the manifest; those on S3 are copied to a temporary folder.

    Raises:
        DamagedCheckpoint: a file is missing or differs.
        WinnowError: the address cannot be reached.
    """
    manifest = _manifest(files.inside(address, MANIFEST))
    fetched = TemporaryDirectory(prefix="winnow-checkpoint-") if address.startswith(files.S3) else None
    folder = Path(fetched.name if fetched else address)
    try:
        for name, entry in manifest.files.items():
            _check(files.inside(address, name), entry, folder / name)
    except WinnowError:
        if fetched is not None:
            fetched.cleanup()
        raise
    return Checkpoint(address, manifest.position, manifest.tensors, folder, fetched)


def _manifest(address: str) -> _Manifest:
    try:
        if files.size(address) > _MANIFEST_BYTES:
            raise DamagedCheckpoint(f"{address} has more than {_MANIFEST_BYTES} bytes")
        return _Manifest.model_validate_json(files.read(address))
    except files.FileMissing as error:
        raise DamagedCheckpoint(str(error)) from error
    except ValidationError as error:
        raise DamagedCheckpoint(f"{address} is no manifest of a checkpoint: {error.errors()[0]['msg']}") from error


def _check(address: str, entry: _Entry, path: Path) -> None:
    try:
        size = files.size(address)
        if size != entry.size:
            raise DamagedCheckpoint(f"{address} has {size} bytes instead of {entry.size}")
        if address.startswith(files.S3):
            files.download(address, path)
        if _entry(path) != entry:
            raise DamagedCheckpoint(f"{address} has another SHA-256 than the manifest says")
    except files.FileMissing as error:
        raise DamagedCheckpoint(str(error)) from error


def _write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> dict[str, _Entry]:
    pieces = _pieces(tensors)
    placed, number, filled = {}, 1, 0
    for name, piece in pieces.items():
        if filled and filled + piece.nbytes > _FILE_BYTES:
            number, filled = number + 1, 0
        placed[name] = number
        filled += piece.nbytes
    with _distributed_checkpoint(str(folder)):
        writer = HuggingFaceStorageWriter(str(folder), fqn_to_index_mapping=placed)
        state_dict_saver.save(pieces, storage_writer=writer, no_dist=True)
    with files.reaching(str(folder)):
        return {path.name: _entry(path) for path in sorted(folder.iterdir())}


def _pieces(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Views of tensors that fit into a file: the tensors by name, larger ones by name and first row."""
    pieces = {}
    for name, tensor in tensors.items():
        whole = tensor.detach()
        if whole.nbytes <= _FILE_BYTES:
            pieces[name] = whole
            continue
        rows = max(1, _FILE_BYTES // whole[0].nbytes)
        for start in range(0, len(whole), rows):
            pieces[f"{name}[{start}:]"] = whole[start : start + rows]
    return pieces


def _commit(
    address: str, position: Mapping[str, JsonValue], tensors: Mapping[str, Tensor], entries: dict[str, _Entry]
) -> None:
    forms = {name: _form(tensor) for name, tensor in tensors.items()}
    manifest = _Manifest(position=dict(position), tensors=forms, files=entries)
    files.write(files.inside(address, MANIFEST), manifest.model_dump_json(indent=1).encode())


def _entry(path: Path) -> _Entry:
    with files.reaching(str(path)), path.open("rb") as file:
        return _Entry(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


@contextmanager
def _distributed_checkpoint(address: str) -> Iterator[None]:
    """Turn the library's error, which is no ``Exception``, into a sentence with its cause.

    Raises:
        WinnowError: the call failed.
    """
    # It warns that it works in this process alone, as `no_dist` asks. `catch_warnings` is not safe for threads.
    filterwarnings("ignore", message="torch.distributed is disabled")
    try:
        yield
    except CheckpointException as error:
        cause, _ = next(iter(error.failures.values()))
        if isinstance(cause, OSError):
            with files.reaching(address):
                raise cause from error
        raise WinnowError(f"{address}: the checkpoint's tensors cannot be written or read: {cause}") from error
