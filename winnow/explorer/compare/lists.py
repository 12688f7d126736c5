"""The two lists: each asked from the transformer that serves its release."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from winnow.client import EndpointError, NoAnswer
from winnow.client.answers import UserEvent
from winnow.errors import WinnowError
from winnow.explorer.base.cards import Card, cards, release_cards
from winnow.explorer.base.pages import in_words
from winnow.explorer.base.stack import Stack
from winnow.explorer.compare.beside import Served
from winnow.explorer.compare.sides import Side
from winnow.request import MAX_SESSION

DEADLINE_MS = 5000
"""Long enough for the funnel's answer on a busy machine: a fallback's list says nothing about what is compared."""


@dataclass(frozen=True)
class Listed:
    """A side and its list.

    Attributes:
        side: the side.
        release: the release that answers.
        is_live: whether the stack serves it.
        answer: the answer; ``None`` where it was refused.
        fault: why; empty where it was not.
        sent: newer events of the user that were sent along, because the release was not live when they happened.
    """

    side: Side
    release: int
    is_live: bool
    answer: dict[str, Any] | None = None
    fault: str = ""
    sent: int = 0

    @property
    def ids(self) -> list[str]:
        """The items, best first."""
        return [] if self.answer is None else [item["item_id"] for item in self.answer["items"]]


async def ask(stack: Stack, live: int, beside: Served | None, pair: tuple[Side, Side]) -> tuple[Listed, Listed]:
    """Ask for both lists at once.

    Args:
        stack: the running stack.
        live: the release that it serves.
        beside: the other release, which answers; ``None`` where both sides are of the live one.
        pair: the sides.

    Raises:
        WinnowError: a transformer does not answer.
    """
    first, second = await asyncio.gather(*(_ask(stack, live, beside, side) for side in pair))
    return first, second


async def shown(stack: Stack, listed: tuple[Listed, Listed], live: int) -> Mapping[str, Card]:
    """The cards of the items of both lists; those that the live catalog lacks, from the release that names them."""
    found = await cards(stack, stack.releases.open(live), [*listed[0].ids, *listed[1].ids])
    for each in listed:
        if not each.is_live:
            unknown = [item_id for item_id in each.ids if found[item_id].state == "unknown"]
            found |= release_cards(stack.releases.open(each.release), unknown)
    return found


async def _ask(stack: Stack, live: int, beside: Served | None, side: Side) -> Listed:
    fields = {"user_id": side.user, "reasons": True, "deadline_ms": DEADLINE_MS, **side.fields}
    other = side.release is not None and side.release != live
    listed = Listed(side, side.release if other and side.release else live, not other)
    try:
        if not other:
            answer = await stack.answer(**fields)
            return replace(listed, release=answer["release"], answer=answer)
        assert beside is not None
        assert beside.winnow is not None
        newer = await _newer_events(stack, side.user, listed.release)
        if newer:
            fields["items"] = newer
        [given] = await beside.winnow.recommend_all([fields])
        return replace(listed, answer=dict(given), sent=len(newer))
    except EndpointError as error:
        return replace(listed, fault=in_words(error))
    except NoAnswer as error:
        if not other:
            raise
        return replace(listed, fault=str(error))


async def _newer_events(stack: Stack, user: str, release: int) -> list[dict[str, Any]]:
    """The user's events since the data of a release ended, oldest first, as those of a session.

    The stack's Bloom sidecar told them to the release that is live, and to no other.
    """
    ended = stack.releases.open(release).release.manifest.as_of
    try:
        history: list[UserEvent] = (await stack.winnow.read_user(user, n=MAX_SESSION))["history"]
    except WinnowError:
        # A key without that scope, or no such user: the list is of what the release knows.
        return []
    newer = [event for event in reversed(history) if event["timestamp"] >= ended]
    return [{name: event[name] for name in ("item_id", "event", "timestamp")} for event in newer]
