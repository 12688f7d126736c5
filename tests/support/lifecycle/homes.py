"""A home of small releases with model files, for tests of what happens to releases after their build."""

from pathlib import Path

from tests.support.tiny_release import write_release
from winnow.release import Release, sha256

MODELS = ("retriever", "ranker")


def add_release(home: Path, number: int) -> Release:
    """Write ``releases/N`` and ``model_repository/N`` of a home; the models' graphs are arbitrary bytes."""
    for model in MODELS:
        folder = home / "model_repository" / str(number) / model / str(number)
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(f"{model} {number}".encode())
        (folder.parent / "config.pbtxt").write_text(f'name: "{model}"')
    digests = {name: sha256(home / f"model_repository/{number}/{name}/{number}/model.onnx") for name in MODELS}
    return write_release(home / "releases", number, models=digests)
