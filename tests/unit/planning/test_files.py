"""The files of prices and per-unit figures: what is missing or unknown is named, and nothing is guessed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from winnow.planning import prices, units
from winnow.planning.units import Curve
from winnow.settings.file import SettingsError


def changed(tmp_path: Path, file: Path, path: str, value: Any = None) -> Path:
    """A copy of a shipped file without the entry at ``path``, or with another one."""
    document = yaml.safe_load(file.read_text())
    *folders, name = path.split("/")
    entry = document
    for folder in folders:
        entry = entry[folder]
    if value is None:
        del entry[name]
    else:
        entry[name] = value
    written = tmp_path / "changed.yaml"
    written.write_text(yaml.safe_dump(document))
    return written


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("caches/cache.r7g.large/hourly", None, "caches.cache.r7g.large.hourly: must be given"),
        ("instances/g6.xlarge/hourly", None, "instances.g6.xlarge.hourly: must be given"),
        ("fixed/nat_gateway", None, "fixed.nat_gateway: must be given"),
        ("s3_gb_month", None, "s3_gb_month: must be given"),
        ("fixed/system_type", "m9.xlarge", "fixed.system_type is m9.xlarge, for which `instances` has no price"),
        ("caches", {}, "caches: "),
        ("instances/m7i.xlarge/hourly", -1, "instances.m7i.xlarge.hourly: "),
    ],
)
def test_a_missing_or_wrong_price_is_named(tmp_path: Path, path: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        prices.load(changed(tmp_path, prices.FILE, path, value))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("redis_item_bytes", None, "redis_item_bytes: must be given"),
        ("scan_ms/how", None, "scan_ms.how: must be given"),
        ("scan_ms/value", -1, "scan_ms.value: "),
        ("redis_user_bytes/points", [[10, 5], [10, 6]], "points must have ascending sizes"),
        ("redis_user_bytes/points", [[10, 5]], "redis_user_bytes.points: "),
    ],
)
def test_a_missing_or_wrong_unit_is_named(tmp_path: Path, path: str, value: Any, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        units.load(changed(tmp_path, units.FILE, path, value))
    assert message in str(refused.value)


def test_a_curve_is_linear_between_and_beyond_its_points() -> None:
    curve = Curve(points=[(0, 10), (10, 20), (20, 60)], unit="", kind="assumed", how="for a test")
    assert [curve.at(size) for size in (0, 5, 10, 15, 20, 30)] == [10, 15, 20, 40, 60, 100]
    falling = Curve(points=[(10, 20), (20, 5)], unit="", kind="assumed", how="for a test")
    assert falling.at(100) == 0
