"""A batch: answers many users by the funnel of a release, on all cores, into Parquet files.

The output is a folder: the list of users and the plan (:mod:`winnow.batch.plan`), a file per part of the list
(:mod:`winnow.batch.parts`), and ``_SUCCESS`` once all parts are there. Whatever ends a run, the next one with the same
settings continues: it computes the parts that are missing, and those in which an answer was degraded.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from winnow import files
from winnow.batch import parts, plan, users
from winnow.batch.computation import TASK_USERS, Computation, redis_failed
from winnow.batch.parts import Written
from winnow.batch.plan import ALL, Plan, Settings
from winnow.batch.workers import Workers, cores
from winnow.errors import WinnowError
from winnow.fields import MAX_K
from winnow.filtering.filter import parse
from winnow.items.columns import ItemColumns
from winnow.release import Release
from winnow.store.connection import FAILURES, Client, connect
from winnow.store.publish import check_published

SUCCESS = "_SUCCESS"


@dataclass(frozen=True)
class BatchOptions:
    """What to compute.

    Attributes:
        release: the release.
        predictor: Triton's ``host:port``, or the model repository that each worker computes.
        redis_url: URL of Redis.
        output: folder, local or ``s3://``.
        k: items per user.
        where: a condition on the items (docs/filters.md); empty for none.
        users: file of users; empty for all.
        workers: number of processes; 0 for one per core.
    """

    release: Release
    predictor: str | Path
    redis_url: str
    output: str
    k: int = 50
    where: str = ""
    users: str = ""
    workers: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a run did, and what the batch has.

    Attributes:
        output: folder of the batch.
        release: number of the release.
        users: users in the batch.
        parts: its parts.
        degraded: users whose answer is degraded.
        left_out: users of the list who were erased or merged since it was made.
        computed: users whose answer this run computed.
        skipped: users whose answer an earlier run had computed.
        seconds: of this run.
    """

    output: str
    release: int
    users: int
    parts: int
    degraded: int
    left_out: int
    computed: int
    skipped: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Users computed per second."""
        return self.computed / self.seconds if self.seconds else 0.0


def run(options: BatchOptions, show_progress: bool = False) -> Outcome:
    """Compute a batch, or the rest of one.

    Args:
        options: what to compute.
        show_progress: show a progress bar.

    Raises:
        InvalidRequest: the condition is wrong.
        ReleaseMismatch: Redis or the models are of another release.
        WinnowError: the folder has a batch with other settings, the users cannot be read, all answers of a part are
            degraded, or Redis, the folder or a worker failed.
    """
    started = time.monotonic()
    release = options.release
    if not 1 <= options.k <= MAX_K:
        raise WinnowError(f"k: must be between 1 and {MAX_K}, got {options.k}")
    if options.where:
        parse(options.where, ItemColumns.of(release), "where")
    try:
        with connect(options.redis_url) as client:
            check_published(client, options.redis_url, release)
            chosen = _planned(options, client)
    except FAILURES as error:
        raise redis_failed(options.redis_url, error) from error
    written = {number: parts.look(options.output, number) for number in parts.present(options.output)}
    kept = {number: part for number, part in written.items() if not part.degraded}
    missing = [number for number in range(chosen.parts) if number not in kept]
    skipped = sum(part.users for part in kept.values())
    computed = _computed(options, chosen, missing, skipped, show_progress) if missing else {}
    whole = kept | computed
    count = sum(part.users for part in whole.values())
    outcome = Outcome(
        output=options.output,
        release=release.manifest.number,
        users=count,
        parts=chosen.parts,
        degraded=sum(part.degraded for part in whole.values()),
        left_out=chosen.listed - count,
        computed=sum(part.users for part in computed.values()),
        skipped=skipped,
        seconds=round(time.monotonic() - started, 3),
    )
    if missing or files.inside(options.output, SUCCESS) not in files.listed(options.output, SUCCESS):
        said = {name: value for name, value in asdict(outcome).items() if name not in ("computed", "skipped", "output")}
        files.write(files.inside(options.output, SUCCESS), json.dumps(said, indent=1).encode())
    return outcome


def _planned(options: BatchOptions, client: Client) -> Plan:
    """The plan of the folder, or a new one.

    Raises:
        WinnowError: the folder has a batch with other settings, or the users cannot be read.
        RedisError: Redis does not answer.
    """
    release = options.release
    settings = Settings(
        release=release.manifest.number,
        digest=release.digest,
        k=options.k,
        where=options.where,
        users=files.sha256(options.users) if options.users else ALL,
    )
    found = plan.read(options.output)
    if found is not None:
        if different := settings.differences(found.settings):
            raise WinnowError(
                f"{options.output} has a batch with other settings: {different}. Give its settings to continue it, or "
                "name another folder"
            )
        return found
    listed = users.of_file(options.users, release, client) if options.users else users.of_release(release, client)
    return plan.begin(options.output, settings, listed)


def _computed(
    options: BatchOptions, chosen: Plan, missing: list[int], skipped: int, show_progress: bool
) -> dict[int, Written]:
    """Compute and write parts; number -> what it holds."""
    release = options.release
    arguments = [f"--release-dir={release.folder}", f"--k={options.k}", f"--where={options.where}"]
    repository = isinstance(options.predictor, Path)
    arguments.append(f"--{'model-repository' if repository else 'predictor_host'}={options.predictor}")
    most = -(-len(missing) * chosen.part_users // TASK_USERS)
    count = min(options.workers or cores(), most, -(-chosen.listed // TASK_USERS))
    bar = tqdm(total=chosen.listed, initial=skipped, desc="recommend", unit="user", disable=not show_progress)
    started = Workers(arguments, options.redis_url, count)
    with bar, started as workers, Computation(release, options.redis_url, options.output, missing) as computation:
        for answers in workers.answers(computation.tasks(), computation.urgent):
            bar.update(computation.take(answers))
        return computation.finish()
