"""Triton on this machine: the ``tritonserver`` binary of the ``nvidia-pytriton`` wheel, in its own environment.

That build has the Python backend only, so the backends that the model repository names are added as Python-based
backends: each folder in ``triton_backend/`` holds a ``model.py`` and what it imports.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonclient.utils import InferenceServerException

from winnow.errors import WinnowError
from winnow.local.processes import Process, http_ok
from winnow.ports import Ports
from winnow.proxies import inference_client

ENVIRONMENT = Path(__file__).parents[2] / ".venv-triton"
BACKENDS = Path(__file__).with_name("triton_backend")

_PLAIN = re.compile(r"[\w./-]+", re.ASCII)

Models = Mapping[str, Collection[int]]
"""Versions per model name."""


def server(repository: Path, models: Models, folder: Path, *, ports: Ports, log: Path) -> Process:
    """A Triton server that is ready when every asked version of every model is.

    Args:
        repository: ``NAME/config.pbtxt`` and ``NAME/VERSION/``, of one release.
        models: What to load from it.
        folder: Takes the generated backend folder and the view of the repository; from :func:`run_folder`.
        ports: Where to listen.
        log: File for its output.

    Raises:
        WinnowError: The repository lacks one of them, or Triton's environment is missing or cannot run Python-based
            backends.
    """
    check_repository(repository, models)
    packages, library_folder, version = interpreter(ENVIRONMENT)
    environment = _link(ENVIRONMENT, folder / "environment")
    packages = environment / packages.relative_to(ENVIRONMENT)
    triton = packages / "pytriton" / "tritonserver"
    backends = _backend_folder(triton, version, folder / "backends")
    view = _view(repository, models, folder / "models")
    command: list[str | Path] = [
        triton / "bin" / "tritonserver",
        f"--model-repository={view}",
        f"--backend-directory={backends}",
        # Explicit: a version that is written while the server runs waits until somebody asks for it.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in sorted(models)),
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-timeout-secs=5",
        "--http-address=127.0.0.1",
        f"--http-port={ports.triton_http}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={ports.triton_grpc}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={ports.triton_metrics}",
        "--allow-gpu-metrics=false",
    ]
    paths = [f"/v2/models/{name}/versions/{number}/ready" for name, versions in models.items() for number in versions]
    return Process(
        "triton",
        command,
        log=log,
        environment=_variables(environment, packages, library_folder),
        ready=lambda: all(http_ok(ports.triton_http, path) for path in ["/v2/health/ready", *paths]),
        timeout=120.0,
    )


def models_in(repository: Path, version: int | None = None) -> dict[str, list[int]]:
    """The models of a repository and their versions, or those that have one version.

    Raises:
        WinnowError: There is none.
    """
    models = {}
    for config in sorted(repository.glob("*/config.pbtxt")):
        versions = sorted(int(path.name) for path in config.parent.iterdir() if path.name.isdecimal())
        if found := [number for number in versions if version in (None, number)]:
            models[config.parent.name] = found
    if not models:
        wanted = "" if version is None else f" in version {version}"
        raise WinnowError(f"{repository} holds no model{wanted}; make a release with `winnow build`")
    return models


@contextmanager
def run_folder(folder: Path) -> Iterator[Path]:
    """A folder for what Triton generates, whose path a shell takes as it is.

    Triton's Python backend starts its stub through a shell, without quotes, and the stub's Python reads ASCII alone. So
    where ``folder`` has a space or such a letter, a temporary folder takes its place, private and gone at the end; its
    name follows from ``folder``, so that the next start clears up after one that was killed. Triton's environment and
    the models are reached through links in it.

    Raises:
        WinnowError: The system's folder for temporary files has such a path too, or the folder is another user's.
    """
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    plain = Path(tempfile.gettempdir(), f"winnow-{os.getuid()}-{name}")
    if not _PLAIN.fullmatch(str(plain)):
        raise WinnowError(
            "Triton needs a path of plain letters, digits and -._/ to run from, which neither "
            f"{folder} nor {plain} is: set WINNOW_HOME or TMPDIR to a folder that has one"
        )
    with suppress(FileExistsError):
        plain.mkdir(mode=0o700)
    found = plain.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise WinnowError(f"{plain} is not a private folder of this user's, as Triton needs for {folder}: remove it")
    try:
        yield plain
    finally:
        shutil.rmtree(plain, ignore_errors=True)


def check_repository(repository: Path, models: Models) -> None:
    """Make sure that every model is there, so that Triton is not asked for what it must refuse.

    Raises:
        WinnowError: A model or a version is missing.
    """
    for name, versions in models.items():
        for part in ["config.pbtxt", *(f"{number}/model.onnx" for number in versions)]:
            if not (repository / name / part).is_file():
                raise WinnowError(
                    f"{repository} has no {name}/{part}: the release is not whole, or was built by a Winnow that kept "
                    "the models of all releases in one repository; build it again with `winnow build`"
                )


def check(address: str, repository: Path, models: Models) -> None:
    """Make sure that another Triton serves what is needed.

    Args:
        address: ``host:port`` of its gRPC.
        repository: Where the models are; the message names it.
        models: What is needed.

    Raises:
        WinnowError: It does not answer, or lacks a version of a model.
    """
    try:
        with inference_client(address) as client:
            missing = [
                f"{name} version {number}"
                for name, versions in models.items()
                for number in versions
                if not client.is_model_ready(name, str(number), client_timeout=5.0)
            ]
    except InferenceServerException as error:
        raise WinnowError(
            f"TRITON_URL names {address} (host:port of Triton's gRPC), which does not answer: {error.message()}; "
            "correct it, or unset it to start a local Triton"
        ) from error
    if missing:
        raise WinnowError(
            f"Triton at {address} does not serve {', '.join(missing)}; start it with --model-repository={repository}"
        )


def interpreter(environment: Path) -> tuple[Path, Path, str]:
    """Site packages, the folder of libpython, and the Python version of Triton's environment.

    Raises:
        WinnowError: The environment is missing, or its Python has no shared library or a path beyond ASCII.
    """
    python = environment / "bin" / "python"
    if not (environment / ".installed").exists():
        raise WinnowError(f"Triton's environment {environment} is missing; run `make setup`, or set TRITON_URL")
    # Asked rather than assumed: Triton's interpreter need not be the one that runs this.
    question = (
        "import json, sys, sysconfig as s; print(json.dumps([s.get_path('platlib'), s.get_config_var('LIBDIR'), "
        "f'{sys.version_info[0]}.{sys.version_info[1]}', sys.base_prefix]))"
    )
    answer = subprocess.run([python, "-I", "-c", question], check=True, capture_output=True)  # noqa: S603
    packages, library_folder, version, interpreter = json.loads(answer.stdout)
    library = Path(library_folder, f"libpython{version}.so.1.0")
    if not library.exists():
        raise WinnowError(
            f"the Python in {interpreter} was built without its shared library ({library}), which Triton's Python "
            "backend loads; install it (Debian: libpython3.11), or use a Python configured with --enable-shared and "
            "run `make clean setup PYTHON=/path/to/python3.11`, or set TRITON_URL"
        )
    if not interpreter.isascii():
        # Triton's environment is reached through a link; what its Python itself was installed with is not.
        raise WinnowError(
            f"the Python in {interpreter} lies in a path with letters beyond ASCII, which Triton's Python backend does "
            f"not read; run `make clean setup PYTHON=/path/to/python{version}` with another one, or set TRITON_URL"
        )
    return Path(packages), Path(library_folder), version


def _backend_folder(triton: Path, version: str, folder: Path) -> Path:
    """Triton's Python backend with the stub process for its Python's version, and beside it our Python-based ones."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(triton / "backends", folder)
    # Triton looks for the stub in the same folder as the backend's utilities.
    shutil.copy(triton / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")
    for source in BACKENDS.iterdir():
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _view(repository: Path, models: Models, folder: Path) -> Path:
    """Links to the asked versions: Triton loads these, however many releases the repository keeps."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, versions in models.items():
        (folder / name).mkdir(parents=True)
        for part in ["config.pbtxt", *map(str, versions)]:
            (folder / name / part).symlink_to((repository / name / part).resolve())
    return folder


def _link(target: Path, link: Path) -> Path:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return link


def _variables(environment: Path, packages: Path, library_folder: Path) -> dict[str, str]:
    """The stub finds its packages by the first Python on the PATH, and its libraries by LD_LIBRARY_PATH."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    libraries = [packages / "nvidia_pytriton.libs", library_folder, inherited.get("LD_LIBRARY_PATH", "")]
    return inherited | {
        "PATH": f"{environment / 'bin'}:{inherited['PATH']}",
        "LD_LIBRARY_PATH": ":".join(str(path) for path in libraries if str(path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        # ONNX Runtime's wheels send usage data to their maker unless told not to.
        "ORT_DISABLE_TELEMETRY": "1",
    }
