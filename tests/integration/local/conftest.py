"""The home of the tests of stacks."""

import pytest

from tests.support.lifecycle.stub_stack import COMMON, PREDICTOR, SERVICE, write_models, write_release


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with release 1: two items, one user, two models that return what they get."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "bloom_sidecar.py").write_text(
        SERVICE.format(flags=[*COMMON, "--health-host", "--health-port"], paths=["/ready"], port="health_port")
    )
    (packages / "recommender_transformer.py").write_text(
        SERVICE.format(
            flags=[*COMMON, *PREDICTOR, "--host", "--http_port", "--grpc_port", "--drain-seconds", "--standby-port"],
            paths=["/v2/health/ready", "/v2/models/recommender/ready"],
            port="standby_port",
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("TRITON_URL", raising=False)
    folder = tmp_path / "My Hömé"  # a checkout in a folder of such a name has a home of such a name
    monkeypatch.setenv("WINNOW_HOME", str(folder))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))  # a killed stack leaves its folder there
    write_models(folder / "model_repository" / "1")
    write_release(folder / "releases" / "1")
    return folder
