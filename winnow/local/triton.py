"""Triton on this machine: the ``tritonserver`` binary of the ``nvidia-pytriton`` wheel, in an environment of its own.

That build has the Python backend only. The backends that the model repository names are therefore added as Python-based
backends: each folder in ``triton_backend/`` holds a ``model.py`` and the modules that it imports; modules that several
import lie beside the folders.
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
"""Model name -> versions."""


def server(repository: Path, models: Models, folder: Path, *, ports: Ports, log: Path) -> Process:
    """A Triton server that is ready when all given model versions are.

    Args:
        repository: Model repository of a release: ``NAME/config.pbtxt`` and ``NAME/VERSION/``.
        models: Models and versions to load.
        folder: Folder for the generated backends and the view of the repository, from :func:`run_folder`.
        ports: Ports to listen on.
        log: File for its output.

    Raises:
        WinnowError: The repository lacks a model or version, or Triton's environment is missing or cannot run
            Python-based backends.
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
        # Explicit: a version that is written while the server runs is not loaded by itself.
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


def models_in(repository: Path) -> dict[str, list[int]]:
    """The models of a repository and their versions; models without a version are left out.

    Raises:
        WinnowError: The repository has no model.
    """
    models = {}
    for config in sorted(repository.glob("*/config.pbtxt")):
        if versions := sorted(int(path.name) for path in config.parent.iterdir() if path.name.isdecimal()):
            models[config.parent.name] = versions
    if not models:
        raise WinnowError(f"{repository} holds no model; make a release with `winnow build`")
    return models


@contextmanager
def run_folder(folder: Path) -> Iterator[Path]:
    """A folder for generated files whose path has only characters that Triton's Python backend supports.

    Triton's Python backend starts its stub through a shell without quoting, and the stub's Python supports ASCII paths
    only. If the path of ``folder`` has a space or a non-ASCII letter, a private temporary folder is used instead and
    removed at the end. Its name is derived from ``folder``, so that the next start removes the folder of a killed one.
    It has links to Triton's environment and the models.

    Raises:
        WinnowError: The path of the system's temporary folder has such characters, too, or the folder belongs to
            another user.
    """
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    plain = Path(tempfile.gettempdir(), f"winnow-{os.getuid()}-{name}")
    if not _PLAIN.fullmatch(str(plain)):
        raise WinnowError(
            "Triton needs a folder whose path has only ASCII letters, digits and -._/, which neither "
            f"{folder} nor {plain} has: set WINNOW_HOME or TMPDIR to such a folder"
        )
    with suppress(FileExistsError):
        plain.mkdir(mode=0o700)
    found = plain.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise WinnowError(f"{plain} is not a private folder of this user, which Triton needs for {folder}: remove it")
    try:
        yield plain
    finally:
        shutil.rmtree(plain, ignore_errors=True)


def check_repository(repository: Path, models: Models) -> None:
    """Check that the repository holds all given model versions, before Triton is started.

    Raises:
        WinnowError: A model or a version is missing.
    """
    for name, versions in models.items():
        for part in ["config.pbtxt", *(f"{number}/model.onnx" for number in versions)]:
            if not (repository / name / part).is_file():
                raise WinnowError(
                    f"{repository} has no {name}/{part}: the release is incomplete, or was built by a version "
                    "that kept the models of all releases in one repository; build it again with `winnow build`"
                )


def check(address: str, repository: Path, models: Models) -> None:
    """Check that the Triton that ``TRITON_URL`` names serves all given model versions.

    Args:
        address: ``host:port`` of its gRPC.
        repository: The model repository, for the message.
        models: The required models and versions.

    Raises:
        WinnowError: Triton does not answer, or does not serve a model version.
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
    """Site packages, folder of libpython, and Python version of Triton's environment.

    Raises:
        WinnowError: The environment is missing, or its Python has no shared library or a non-ASCII path.
    """
    python = environment / "bin" / "python"
    if not (environment / ".installed").exists():
        raise WinnowError(f"Triton's environment {environment} is missing; run `make setup`, or set TRITON_URL")
    # Triton's interpreter may have another version and another place than this one.
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
        # The link to the environment has an ASCII path, but the Python that the environment is based on does not.
        raise WinnowError(
            f"the Python in {interpreter} has a path with non-ASCII letters, which Triton's Python backend does not "
            f"support; run `make clean setup PYTHON=/path/to/python{version}` with another one, or set TRITON_URL"
        )
    return Path(packages), Path(library_folder), version


def _backend_folder(triton: Path, version: str, folder: Path) -> Path:
    """Make Triton's backend folder: its Python backend with the stub of its Python version, and Winnow's backends."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(triton / "backends", folder)
    # Triton expects the stub in the folder of the backend's utilities.
    shutil.copy(triton / "python_backend_stubs" / version / "triton_python_backend_stub", folder / "python")
    for source in BACKENDS.glob("*/model.py"):
        backend = folder / source.parent.name
        shutil.copytree(source.parent, backend, ignore=shutil.ignore_patterns("__pycache__"))
        for shared in BACKENDS.glob("*.py"):
            shutil.copy(shared, backend)
    return folder


def _view(repository: Path, models: Models, folder: Path) -> Path:
    """Make a model repository of links to the given versions alone."""
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
    """Triton's environment: its stub finds packages through PATH, and libraries through LD_LIBRARY_PATH."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    libraries = [packages / "nvidia_pytriton.libs", library_folder, inherited.get("LD_LIBRARY_PATH", "")]
    return inherited | {
        "PATH": f"{environment / 'bin'}:{inherited['PATH']}",
        "LD_LIBRARY_PATH": ":".join(str(path) for path in libraries if str(path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        # ONNX Runtime sends usage data unless this is set.
        "ORT_DISABLE_TELEMETRY": "1",
    }
