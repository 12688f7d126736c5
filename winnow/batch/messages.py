"""What the process that writes a batch and its workers tell each other: a JSON object per line.

A worker first says that it is ready. From then on it gets tasks and answers each, in any order. A worker that cannot go
on says why.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson


@dataclass(frozen=True)
class Task:
    """Users to answer.

    Attributes:
        number: tells the task.
        user_ids: the users.
    """

    number: int
    user_ids: list[str]

    def line(self) -> bytes:
        """The task as a line."""
        return orjson.dumps({"task": self.number, "user_ids": self.user_ids}) + b"\n"

    @classmethod
    def of(cls, line: bytes) -> "Task":
        """Parse a line."""
        fields = orjson.loads(line)
        return cls(fields["task"], fields["user_ids"])


class UserAnswer(NamedTuple):
    """The answer to a user.

    Attributes:
        item_ids: the recommended items, best first.
        scores: their scores.
        degraded: what was replaced by a fallback; empty for a complete answer.
        computed_at: milliseconds since the epoch.
    """

    item_ids: list[str]
    scores: list[float]
    degraded: list[str]
    computed_at: int


@dataclass(frozen=True)
class Answers:
    """The answers to a task.

    Attributes:
        number: of the task.
        users: the answer to each of its users, in their order.
    """

    number: int
    users: list[UserAnswer]

    def line(self) -> bytes:
        """The answers as a line."""
        return orjson.dumps({"answers": self.number, "users": [list(one) for one in self.users]}) + b"\n"


@dataclass(frozen=True)
class Ready:
    """The worker answers tasks from now on."""

    def line(self) -> bytes:
        """It as a line."""
        return b'{"ready": true}\n'


@dataclass(frozen=True)
class Failure:
    """Why a worker cannot go on.

    Attributes:
        message: a sentence for the user.
    """

    message: str

    def line(self) -> bytes:
        """The failure as a line."""
        return orjson.dumps({"failure": self.message}) + b"\n"


Reply = Ready | Answers | Failure


def reply_of(line: bytes) -> Reply:
    """Parse a worker's line."""
    fields: dict[str, Any] = orjson.loads(line)
    if "answers" in fields:
        return Answers(fields["answers"], [UserAnswer(*one) for one in fields["users"]])
    return Failure(fields["failure"]) if "failure" in fields else Ready()
