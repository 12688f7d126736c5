"""A store of embeddings by content, shared by runs: an encoder encodes no content twice.

``{root}/{modality}/{fingerprint of the encoder}/{unique name}.parquet``, each a shard with the columns ``digest``,
``vector`` and ``problem``. A run adds complete shards under unique names, so that runs neither wait for nor overwrite
each other, and a killed run loses one shard at most.
"""

import hashlib
import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow import files
from winnow.embeddings.prefetch import prefetch
from winnow.encoders.inputs import AudioInput, ImageInput, Modality, TextInput
from winnow.errors import WinnowError
from winnow.release import sha256

_RECIPE = 1
"""Version of the preparation of content; a change of it changes the vectors of an encoder."""

_SCHEMA = pa.schema({"digest": pa.string(), "vector": pa.large_list(pa.float32()), "problem": pa.string()})
_READERS = 4


def digest(content: bytes) -> str:
    """SHA-256 of content (of a text, its UTF-8), in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(model: Path, takes: AudioInput | ImageInput | TextInput, tokenizer: Path | None) -> str:
    """SHA-256, in hexadecimal, of all that an encoder's vectors depend on besides the content.

    Args:
        model: its ONNX file, with the weights.
        takes: its input.
        tokenizer: the tokenizer's file of a text encoder.

    Raises:
        WinnowError: a file is missing.
    """
    try:
        parts = [sha256(path) for path in (model, tokenizer) if path is not None]
    except FileNotFoundError as error:
        raise WinnowError(f"{error.filename} is missing: export the encoders before embedding with them") from None
    return digest("\n".join([str(_RECIPE), takes.model_dump_json(), *parts]).encode())


@dataclass(frozen=True)
class Shard:
    """Vectors or problems of content.

    Attributes:
        digests: digests of n contents.
        vectors: float32 [n, D]; rows with a problem have no meaning.
        problems: why a content cannot be encoded; ``None`` where it can.
    """

    digests: list[str]
    vectors: NDArray[np.float32]
    problems: list[str | None]


class EmbeddingStore:
    """Shards in a folder, local or on S3."""

    def __init__(self, root: str) -> None:
        """Open a store; the first write creates its folder.

        Args:
            root: a path, or ``s3://bucket/prefix``.
        """
        self.root = root

    def read(self, modality: Modality, encoder: str, dimension: int) -> Iterator[Shard]:
        """The shards of an encoder.

        Args:
            modality: modality of the content.
            encoder: fingerprint of the encoder.
            dimension: width of its vectors.

        Raises:
            WinnowError: the store cannot be reached, or a file of it is not a shard.
        """
        addresses = files.listed(self._folder(modality, encoder), ".parquet")
        yield from prefetch(
            lambda address: _parse(address, dimension), addresses, threads=_READERS, at_most=2 * _READERS
        )

    def write(self, modality: Modality, encoder: str, shard: Shard) -> None:
        """Add a shard.

        Args:
            modality: modality of the content.
            encoder: fingerprint of the encoder.
            shard: the shard, not empty.

        Raises:
            WinnowError: the store cannot be written.
        """
        table = pa.table(
            {
                "digest": pa.array(shard.digests, pa.string()),
                "vector": vector_column(shard.vectors, [problem is None for problem in shard.problems]),
                "problem": pa.array(shard.problems, pa.string()),
            }
        )
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        files.write(files.inside(self._folder(modality, encoder), f"{uuid.uuid4().hex}.parquet"), buffer.getvalue())

    def _folder(self, modality: Modality, encoder: str) -> str:
        return files.inside(self.root, modality, encoder)


def vector_column(vectors: NDArray[np.float32], present: Sequence[bool]) -> pa.Array:
    """Vectors, float32 [n, D], as an Arrow array of lists, null where a vector is not present.

    The lists do not have Arrow's type of fixed-size lists, which cannot be read from Parquet with nulls
    (apache/arrow#35692).
    """
    mask = np.array(present, np.bool_)
    offsets = np.concatenate([[0], np.cumsum(mask * vectors.shape[1], dtype=np.int64)])
    return pa.LargeListArray.from_arrays(
        pa.array(offsets), pa.array(vectors[mask].ravel(), pa.float32()), mask=pa.array(~mask)
    )


def _parse(address: str, dimension: int) -> Shard:
    try:
        table = pq.read_table(io.BytesIO(files.read(address)))
        if not table.schema.equals(_SCHEMA):
            raise ValueError(f"its columns are {', '.join(map(str, table.schema))}")
        column = table["vector"].combine_chunks()
        present = column.is_valid().to_numpy(zero_copy_only=False)
        if (pc.list_value_length(column.drop_null()).to_numpy() != dimension).any():
            raise ValueError(f"its vectors are not {dimension} wide")
        vectors = np.zeros((len(table), dimension), np.float32)
        vectors[present] = column.flatten().to_numpy().reshape(-1, dimension)
    except (pa.ArrowException, ValueError) as error:
        raise WinnowError(f"{address} is not a shard of embeddings; delete it: {error}") from error
    return Shard(table["digest"].to_pylist(), vectors, table["problem"].to_pylist())
