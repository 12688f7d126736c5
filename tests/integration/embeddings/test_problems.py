"""Content and encoders that cannot be used are recorded and named."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.support.matrix_encoders import (
    INPUTS,
    RATE,
    SAMPLES,
    SIZE,
    WIDTH,
    draw,
    record,
    write_encoders,
)
from winnow.embeddings import result
from winnow.embeddings.extraction import extract_embeddings
from winnow.embeddings.result import write_output
from winnow.embeddings.store import EmbeddingStore
from winnow.encoders.catalog import Contents
from winnow.encoders.inputs import EncoderInputs, ImageInput
from winnow.errors import WinnowError


def test_unreadable_content_is_recorded_and_reported(encoders: Path, catalog: Contents, store: EmbeddingStore) -> None:
    made = extract_embeddings(encoders, catalog, store, show_progress=False)
    audio, image, text = result.summary(made, catalog)
    items = len(catalog.item_ids)
    assert audio.startswith(f"audio: 6 of {items} items have one; 1 cannot be used: ")
    assert image.startswith(f"image: 9 of {items} items have one; 2 cannot be used: {catalog.pictures[1]}: not a")
    assert image.endswith(f"; {catalog.pictures[2]}: No such file or directory")
    assert "cannot" not in text
    problems = made.problems["image"]
    assert [item for item, problem in enumerate(problems) if problem] == [1, 2]
    assert problems[1].startswith(f"{catalog.pictures[1]}: not a readable image")
    assert problems[2] == f"{catalog.pictures[2]}: No such file or directory"
    # The truncated picture's bytes are recorded as bad; the missing picture is looked for again.
    draw(Path(catalog.pictures[2]), 2)
    assert extract_embeddings(encoders, catalog, store, show_progress=False).encoded["image"] == 1
    draw(Path(catalog.pictures[1]), 1)
    repaired = extract_embeddings(encoders, catalog, store, show_progress=False)
    assert repaired.encoded == {"audio": 0, "image": 1, "text": 0}
    assert set(repaired.problems["image"]) == {None}


def test_the_result_lists_the_modalities_of_every_item(
    encoders: Path, catalog: Contents, store: EmbeddingStore, tmp_path: Path
) -> None:
    shutil.rmtree(encoders)
    write_encoders(encoders, EncoderInputs(audio=INPUTS.audio, image=INPUTS.image))
    (encoders / "embeddings").mkdir()
    np.save(encoders / "embeddings" / "text.npy", np.zeros((10, 2)))
    made = extract_embeddings(encoders, catalog, store, show_progress=False)
    assert sorted(path.name for path in (encoders / "embeddings").iterdir()) == ["audio.npy", "image.npy"]
    items = pq.read_table(encoders / "items.parquet").to_pydict()
    assert items["item_id"] == catalog.item_ids
    assert [item for item in range(10) if items["has_image"][item]] == [0, 3, 4, 5, 6, 7, 9]
    assert [item for item in range(10) if items["has_audio"][item]] == [0, 1, 2, 4, 9]
    assert not any(items["has_text"])
    assert items["text_problem"] == [None if item == 8 else "there is no text encoder" for item in range(10)]
    assert items["image_digest"][6] == items["image_digest"][7] is not None
    assert items["image_problem"][1] == made.problems["image"][1]
    out = tmp_path / "out" / "items.parquet"
    write_output(made, catalog, str(out))
    written = pq.read_table(out)
    assert written.drop(["audio_vector", "image_vector"]).to_pydict() == items
    vectors = written["image_vector"].to_pylist()
    assert [item for item, vector in enumerate(vectors) if vector is None] == [1, 2, 8]
    np.testing.assert_array_equal(np.array(vectors[9], np.float32), made.vectors["image"][9])
    with pytest.raises(WinnowError, match=r"must be a file that ends in \.parquet"):
        write_output(made, catalog, str(tmp_path))


def test_a_zero_vector_is_a_problem(tmp_path: Path, store: EmbeddingStore) -> None:
    folder = write_encoders(tmp_path / "encoders", EncoderInputs(audio=INPUTS.audio))
    silence, tone = tmp_path / "silence.wav", tmp_path / "tone.wav"
    soundfile.write(silence, np.zeros(SAMPLES), RATE)
    contents = Contents(["a", "b"], ["", ""], ["", ""], [str(silence), record(tone, 0)])
    for expected in (1, 0):
        made = extract_embeddings(folder, contents, store, show_progress=False)
        assert made.encoded == {"audio": expected}
        assert "no direction" in str(made.problems["audio"][0])
        assert made.problems["audio"][1] is None
    assert not made.vectors["audio"][0].any()


def test_errors_of_the_encoders_are_named(
    encoders: Path, catalog: Contents, store: EmbeddingStore, tmp_path: Path
) -> None:
    with pytest.raises(WinnowError, match=r"Triton at 127\.0\.0\.1:1 \(host:port of its gRPC\) does not run audio_enc"):
        extract_embeddings(encoders, catalog, store, show_progress=False, triton="127.0.0.1:1")
    wide = INPUTS.model_copy(update={"image": ImageInput(dimension=WIDTH + 1, size=SIZE)})
    (encoders / "encoders.json").write_text(wide.model_dump_json())
    with pytest.raises(WinnowError, match=r"image\.dimension in encoders\.json is 6"):
        extract_embeddings(encoders, catalog, store, show_progress=False)
    (encoders / "encoders.json").write_text(INPUTS.model_dump_json())
    (encoders / "onnx" / "audio_encoder" / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(WinnowError, match=r"model\.onnx cannot be loaded; export the encoders again"):
        extract_embeddings(encoders, catalog, store, show_progress=False)
    os.remove(encoders / "onnx" / "text_encoder" / "model.onnx")
    with pytest.raises(WinnowError, match=r"text_encoder/model\.onnx is missing: export the encoders"):
        extract_embeddings(encoders, catalog, store, show_progress=False)
    assert not (encoders / "items.parquet").exists()
