"""Public names: every name of an ``__all__`` exists, and light packages import no torch."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import winnow


def faces() -> list[str]:
    """The packages of Winnow that list public names."""
    modules = ["winnow", *(module.name for module in pkgutil.walk_packages(winnow.__path__, "winnow.") if module.ispkg)]
    return [name for name in modules if hasattr(importlib.import_module(name), "__all__")]


def test_every_public_name_exists() -> None:
    packages = faces()
    assert {"winnow", "winnow.datasets", "winnow.encoders", "winnow.features"} <= {*packages}
    for package in packages:
        module = importlib.import_module(package)
        missing = [name for name in module.__all__ if not hasattr(module, name)]
        assert not missing, f"{package}.__all__ lists {missing}"


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("winnow", ("numpy", "pydantic", "pyarrow", "torch")),
        ("winnow.encoders", ("pyarrow", "tokenizers", "torch", "transformers")),
        ("winnow.features", ("ibis", "pyarrow", "torch")),
        ("winnow.datasets", ("awswrangler", "boto3", "pandas", "torch")),
        ("winnow.files", ("boto3", "pyarrow")),
    ],
)
def test_an_import_does_not_load_heavy_libraries(package: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {package}; print(*sorted({{*{heavy!r}}} & {{*sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.split() == []
