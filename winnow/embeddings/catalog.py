"""Embeds the catalog of a build with its encoders."""

import tempfile
from pathlib import Path

from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.result import summary, write_output
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import read_contents


def embed_catalog(
    dataset: Path, encoders: Path, store: str, triton: str, output: str, show_progress: bool
) -> tuple[dict[str, int], list[str]]:
    """Embed every item whose content is new, and write the embeddings into the encoders' folder.

    Args:
        dataset: folder of the canonical tables.
        encoders: folder of the exported encoders.
        store: folder or ``s3://`` address that keeps embeddings by content; empty keeps none.
        triton: ``host:port`` of a Triton that serves the encoders; empty embeds in this process.
        output: Parquet file, local or ``s3://``, that gets a row for every item; empty writes none.
        show_progress: show progress bars.

    Returns:
        Modality -> number of contents that were encoded, and a summary for the user.

    Raises:
        WinnowError: an encoder is missing or does not answer, or a file cannot be read or written.
    """
    contents = read_contents(dataset)
    with tempfile.TemporaryDirectory() as discarded:
        kept = EmbeddingStore(store or discarded)
        found = extract_embeddings(encoders, contents, kept, show_progress, triton=triton or None)
    if output:
        write_output(found, contents, output)
    return found.encoded, list(summary(found, contents))
