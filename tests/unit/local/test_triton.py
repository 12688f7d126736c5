"""What Triton needs from its environment."""

import json
import stat
import tempfile
from pathlib import Path

import pytest

from winnow.errors import WinnowError
from winnow.local import triton


def environment(folder: Path, library_folder: Path, base: str = "/opt/python") -> Path:
    """An environment whose Python reports ``library_folder`` as the home of its shared library."""
    answer = json.dumps([str(folder), str(library_folder), "3.11", base])
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text(f"#!/bin/sh\necho '{answer}'\n")
    (folder / "bin" / "python").chmod(0o755)
    (folder / ".installed").touch()
    return folder


def test_a_missing_environment_names_the_remedy(tmp_path):
    with pytest.raises(WinnowError, match="make setup"):
        triton.interpreter(tmp_path / "nowhere")


def test_an_interpreter_without_its_shared_library_is_refused(tmp_path):
    with pytest.raises(WinnowError, match=r"/opt/python was built without .*libpython3\.11\.so\.1\.0.*--enable-shared"):
        triton.interpreter(environment(tmp_path / "venv", tmp_path))
    (tmp_path / "libpython3.11.so.1.0").touch()
    assert triton.interpreter(tmp_path / "venv") == (tmp_path / "venv", tmp_path, "3.11")


def test_an_interpreter_in_a_non_ascii_path_is_refused(tmp_path):
    """Seen: the stub ends with "OSError: [Errno 84] Invalid or incomplete multibyte or wide character"."""
    (tmp_path / "libpython3.11.so.1.0").touch()
    with pytest.raises(WinnowError, match=r"/home/jürgen/python has a path with non-ASCII letters"):
        triton.interpreter(environment(tmp_path / "venv", tmp_path, base="/home/jürgen/python"))


def test_models_of_a_repository(tmp_path):
    for name, versions in {"ranker": (1, 2, 10), "retriever": (2,), "empty": ()}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").touch()
        for version in versions:
            (tmp_path / name / str(version)).mkdir()
    assert triton.models_in(tmp_path) == {"ranker": [1, 2, 10], "retriever": [2]}
    with pytest.raises(WinnowError, match=r"holds no model; .*winnow build"):
        triton.models_in(tmp_path / "empty")


def test_the_temporary_folder_is_private_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with triton.run_folder(tmp_path / "plain") as folder:
        assert folder == tmp_path / "plain"
    with triton.run_folder(tmp_path / "not plain") as folder:
        assert folder.parent == tmp_path
        assert " " not in folder.name
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "left by one that was killed").touch()
        with triton.run_folder(tmp_path / "another ü") as other:
            assert other != folder
    assert not folder.exists()
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(WinnowError, match="not a private folder"), triton.run_folder(tmp_path / "not plain"):
        pass
    folder.rmdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WinnowError, match="not a private folder"), triton.run_folder(tmp_path / "not plain"):
        pass


def test_a_repository_without_a_model_is_refused(tmp_path):
    """A home whose releases share one repository has no ``model_repository/1``, and is refused alike."""
    (tmp_path / "ranker" / "1").mkdir(parents=True)
    (tmp_path / "ranker" / "1" / "model.onnx").touch()
    with pytest.raises(WinnowError, match=r"has no ranker/config\.pbtxt: .*build it again with `winnow build`"):
        triton.check_repository(tmp_path, {"ranker": [1]})
    (tmp_path / "ranker" / "config.pbtxt").touch()
    triton.check_repository(tmp_path, {"ranker": [1]})
    with pytest.raises(WinnowError, match=r"has no ranker/2/model\.onnx"):
        triton.check_repository(tmp_path, {"ranker": [1, 2]})
