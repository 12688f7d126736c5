"""A home of small releases with model files, for tests of what happens to releases after their build."""

import shutil
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


def add_copy(source: Release, repository: Path, home: Path, number: int, damaged: str = "") -> None:
    """Write a copy of a release into a home under another number; the two answer alike.

    Args:
        source: the release.
        repository: its Triton repository.
        home: the home that gets the copy.
        number: of the copy.
        damaged: a model whose graph is cut in half, which the copy's manifest says it should be.
    """
    models = home / "model_repository" / str(number)
    shutil.copytree(repository, models)
    for version in models.glob(f"*/{source.manifest.number}"):
        version.rename(version.with_name(f"{number}.renamed"))
    for version in models.glob("*/*.renamed"):
        version.rename(version.with_name(str(number)))
    digests = dict(source.manifest.models)
    if damaged:
        graph = models / damaged / str(number) / "model.onnx"
        graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
        digests[damaged] = sha256(graph)
    folder = home / "releases" / str(number)
    shutil.copytree(source.folder, folder)
    manifest = source.manifest.model_copy(update={"number": number, "models": digests})
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1))
