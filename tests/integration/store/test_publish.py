"""``python -m winnow.store``, which a Job of the cluster runs."""

import subprocess
import sys

from redis import Redis

from winnow.release import Release
from winnow.store.publish import published


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
