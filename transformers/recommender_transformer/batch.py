"""``python -m recommender_transformer.batch``: a worker of ``winnow recommend --all``.

It reads tasks from its standard input and writes the answers to its standard output (:mod:`winnow.batch.messages`),
until the input ends. The answers are those of the endpoint without experiments and exploration.
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from recommender_transformer.funnel.runner import Runner
from recommender_transformer.offline import DEADLINE_MS, answered, connected
from recommender_transformer.serving.startup_check import check_backends
from winnow.batch.messages import Answers, Failure, Ready, Reply, Task, UserAnswer
from winnow.errors import WinnowError
from winnow.milvus.collection import is_searched
from winnow.milvus.connection import address
from winnow.proxies import bypass_loopback
from winnow.release import Release
from winnow.request import Answer, RecommendRequest
from winnow.store.connection import LOCAL, RedisError

AT_ONCE = 8
"""Users computed concurrently: while the models compute for one of them, the funnel works on another."""

_LONGEST_LINE = 16 << 20

Send = Callable[[Reply], Awaitable[None]]


async def work(runner: Runner, fields: dict[str, Any], lines: asyncio.StreamReader, send: Send) -> None:
    """Answer tasks until the input ends.

    Args:
        runner: the funnel.
        fields: of every request, besides its user.
        lines: the tasks.
        send: sends a reply.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def answer(task: Task) -> None:
        requests = [RecommendRequest.model_validate({"user_id": user_id, **fields}) for user_id in task.user_ids]
        answers = await answered(runner, requests, free)
        now = time.time_ns() // 1_000_000
        await send(Answers(task.number, [_of_user(one, now) for one in answers]))

    await send(Ready())
    async with asyncio.TaskGroup() as group:
        while line := await lines.readline():
            group.create_task(_reporting(answer(Task.of(line)), send))


def _of_user(answer: Answer, now: int) -> UserAnswer:
    items = answer["items"]
    return UserAnswer([item["item_id"] for item in items], [item["score"] for item in items], answer["degraded"], now)


async def _reporting(work: Awaitable[None], send: Send) -> None:
    try:
        await work
    except (WinnowError, RedisError) as error:
        await send(Failure(str(error)))


async def _run(release: Release, args: argparse.Namespace, replies: int) -> None:
    fields: dict[str, Any] = {"k": args.k, "deadline_ms": DEADLINE_MS}
    if args.where:
        fields["filters"] = {"where": args.where}
    writing = asyncio.Lock()
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    async def send(reply: Reply) -> None:
        # In a thread: while a pipe is full, tasks are read, so that neither side waits for the other.
        async with writing:
            await asyncio.to_thread(_write, replies, reply.line())

    async with connected(release, args.redis_url, args.model_repository or args.predictor_host) as (store, runner):
        await store.lists.look()
        await runner.warm_up()
        gc.collect()
        gc.freeze()
        await work(runner, fields, lines, send)


def _write(descriptor: int, line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(descriptor, left) :]


def main() -> None:
    """Work, or say why not and exit."""
    bypass_loopback()
    parser = argparse.ArgumentParser(prog="recommender_transformer.batch", description="Answer many users.")
    parser.add_argument("--release-dir", type=Path, required=True, help="Folder of the release.")
    parser.add_argument("--model-repository", type=Path, help="Compute the models of this repository in this process.")
    parser.add_argument("--predictor_host", help="HOST:PORT of Triton's gRPC endpoint.")
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Default: $REDIS_URL.")
    parser.add_argument("--k", type=int, required=True, help="Items per user.")
    parser.add_argument("--where", default="", help="A condition on the items.")
    args = parser.parse_args()
    # What a library prints must not end up among the replies.
    replies = os.dup(1)
    os.dup2(2, 1)
    try:
        release = Release.open(args.release_dir)
        milvus_url = address() if is_searched(release) else ""
        check_backends(release, args.redis_url, args.model_repository or args.predictor_host, milvus_url)
        uvloop.run(_run(release, args, replies))
    except (WinnowError, RedisError) as error:
        _write(replies, Failure(str(error)).line())
        sys.exit(1)


if __name__ == "__main__":
    main()
