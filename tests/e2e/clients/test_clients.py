"""Clients of the endpoint: the Python client by its own documentation, and one that npm's generator makes."""

import doctest
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.paths import ROOT
from winnow.client import AsyncWinnow, Winnow

TYPESCRIPT = ROOT / "tests" / "support" / "typescript"
URL = "http://localhost:8080"


def test_the_examples_of_the_python_client(served) -> None:
    url = f"http://127.0.0.1:{served.ports.http}"
    methods = [method for name, method in vars(Winnow).items() if not name.startswith("_")]
    documented = [Winnow, *methods, AsyncWinnow]
    text = "\n\n".join(inspect.getdoc(each) or "" for each in documented)
    assert all(">>>" in (inspect.getdoc(method) or "") for method in methods if method is not Winnow.close)

    test = doctest.DocTestParser().get_doctest(text.replace(URL, url), {}, "winnow.client", None, 0)
    failures: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=failures.append, clear_globs=False)
    test.globs["winnow"].close()
    assert result.attempted > 30
    assert result.failed == 0, "".join(failures)


def test_the_client_needs_none_of_the_extras(served, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    uv = ROOT / ".tools" / "uv" / "bin" / "uv"
    install = [uv, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "constraints.txt", ROOT]
    subprocess.run(install, check=True)
    listed = subprocess.run([uv, "pip", "list", "--python", python, "--format=json"], check=True, capture_output=True)
    assert len(json.loads(listed.stdout)) < 30
    program = (
        "from winnow.client import Winnow\n"
        f"with Winnow('http://127.0.0.1:{served.ports.http}') as winnow:\n"
        "    print(len(winnow.recommend('u00042', k=3)['items']))\n"
    )
    ran = subprocess.run([python, "-P", "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout == "3\n"


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on the PATH")
def test_a_generated_typescript_client(served, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{served.ports.http}"
    folder = tmp_path / "typescript"
    shutil.copytree(TYPESCRIPT, folder)
    document = httpx.get(f"{url}/openapi.json", trust_env=False).raise_for_status().text
    (folder / "openapi.json").write_text(document)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("npm", "ci", "--no-audit", "--no-fund")
    run("npx", "openapi-typescript", "openapi.json", "--output", "winnow.ts")
    run("npx", "tsc")
    printed = json.loads(run("node", "calls.js", url))
    assert len(printed["items"]) == 5
    assert all(printed["reasons"])
    assert printed["stored"]
    assert printed["item"]["item_id"] == "i00007"
    assert printed["user"]["known"] is True
    assert printed["refused"] == [400, "instances[0].k: must be a whole number between 1 and 500, got 100000"]
