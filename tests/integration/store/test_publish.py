"""``python -m winnow.store``, which a Job of the cluster runs."""

import subprocess
import sys

from redis import Redis

from winnow.release import Release
from winnow.store.publish import published
from winnow.store.shared_state import state_of


def publish(release: Release, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "winnow.store", f"--release-dir={release.folder}", f"--redis-url={url}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_release_is_published_once(release: Release, redis_url: str) -> None:
    url = f"{redis_url.rpartition('/')[0]}/9"  # a database that no other test uses
    with Redis.from_url(url) as client:
        assert published(client, release.manifest.number) is None
        for _ in range(2):
            assert publish(release, url).returncode == 0
            assert published(client, release.manifest.number) == release.digest


def test_without_redis_the_job_fails_with_the_reason(release: Release) -> None:
    done = publish(release, "redis://127.0.0.1:1/0")
    assert done.returncode != 0
    assert "Redis does not answer at redis://127.0.0.1:1/0" in done.stderr


def test_a_release_is_removed_by_its_number(release: Release, redis_url: str) -> None:
    url, number = f"{redis_url.rpartition('/')[0]}/9", release.manifest.number
    assert publish(release, url).returncode == 0
    command = [sys.executable, "-m", "winnow.store", f"--remove={number}", f"--redis-url={url}"]
    assert subprocess.run(command, timeout=60).returncode == 0
    with Redis.from_url(url) as client:
        assert published(client, number) is None
        assert list(client.scan_iter(match=f"{state_of(release).name}:*")) == []
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stderr) == (1, f"{url} holds no release {number}: nothing was removed\n")
