"""The steps of a batch. Its release is read from a home, which is a folder or an ``s3://`` address."""

from typing import NamedTuple

from kfp_pipelines.components import step


@step
def choose(home: str, number: int, output: str) -> NamedTuple("Chosen", number=int, folder=str):  # type: ignore[valid-type]
    """Choose the release and the folder of this run, which a step that is tried again continues with.

    Args:
        home: folder or ``s3://`` address of the releases.
        number: the release; 0 for the live one.
        output: folder or ``s3://`` address that gets a folder per run.

    Returns:
        number: the release.
        folder: address of the run's folder, named by its time in UTC and its release.
    """
    from datetime import UTC, datetime

    from kfp_pipelines.console import show
    from winnow.errors import WinnowError
    from winnow.files import inside
    from winnow.lifecycle.live import live
    from winnow.result import reported

    class Chosen(NamedTuple):
        number: int
        folder: str

    with reported():
        pin = None if number else live(home)
        if not number and pin is None:
            raise WinnowError(f"{home} has no live release: promote one, or name the parameter number")
        chosen = pin.release if pin else number
        folder = inside(output, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-release-{chosen}")
        show(f"release {chosen}, into {folder}")
        return Chosen(chosen, folder)


@step
def recommend(home: str, number: int, output: str, users: str, k: int, where: str, workers: int) -> str:
    """Compute the recommendations, or those that an earlier attempt has left. The step reads ``REDIS_URL``.

    Args:
        home: folder or ``s3://`` address of the releases.
        number: the release, which Redis holds.
        output: folder or ``s3://`` address of the batch.
        users: file of users, Parquet or CSV with a column ``user_id`` or a text file; empty for all.
        k: items per user.
        where: a condition on the items (docs/filters.md); empty for none.
        workers: processes.

    Returns:
        The folder of the batch.
    """
    import os
    import tempfile
    from pathlib import Path

    from kfp_pipelines.console import show
    from winnow.batch.run import BatchOptions, run
    from winnow.lifecycle.claims import REPOSITORIES
    from winnow.lifecycle.transfer import download
    from winnow.result import reported
    from winnow.store.connection import LOCAL

    with reported(), tempfile.TemporaryDirectory(prefix="winnow-") as folder:
        release = download(home, number, Path(folder), show_progress=True)
        options = BatchOptions(
            release=release,
            predictor=Path(folder, REPOSITORIES, str(number)),
            redis_url=os.environ.get("REDIS_URL", LOCAL),
            output=output,
            k=k,
            where=where,
            users=users,
            workers=workers,
        )
        done = run(options, show_progress=True)
        show(
            f"{done.users:,} users in {done.parts:,} parts in {output}: {done.computed:,} computed "
            f"({done.per_second:,.0f} users/s), {done.degraded:,} degraded, {done.left_out:,} left out"
        )
        return output
