"""``/ask``: the form, the answer as cards, the funnel, and what a click on a stage or an item opens."""

import base64
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from winnow.client import InvalidCall
from winnow.encoders.inputs import EncoderInputs
from winnow.explorer.ask import funnel as funnels
from winnow.explorer.ask.form import PAGE, RELATIONS, SHOWN, AskForm, K, WrongForm
from winnow.explorer.ask.held import HeldAnswers, HeldMedia
from winnow.explorer.ask.picture import HEIGHT, WIDTH, bands
from winnow.explorer.base.cards import cards, release_cards
from winnow.explorer.base.differences import difference
from winnow.explorer.base.items import OpenedRelease
from winnow.explorer.base.media import type_of
from winnow.explorer.base.pages import address, in_words, page
from winnow.explorer.base.stack import Stack, stack_of

ANSWERS, MEDIA = HeldAnswers(), HeldMedia()

MOST_TYPES = 6
"""Event types that a card has buttons for."""

_MOST_CATEGORIES = 300
_MOST_ROWS = 200
"""Candidates of a stage that are listed."""


async def ask(request: Request) -> Response:
    """The page; without anything to ask for, the form alone."""
    stack, given = stack_of(request), request.query_params
    form = AskForm.of(given)
    release = await stack.served()
    context: dict[str, Any] = {"form": form, "K": K, "relations": RELATIONS, "wrong": "", **_offered(release)}
    if not form.asks:
        return page(request, "ask.html", release=release, answer=None, **context)
    key = given.get("answer", "")
    answer = ANSWERS.get(key)
    try:
        fields, count = form.request(release.release.schema.events, _media(form)), form.cards
        named = [item["item_id"] for item in fields["items"] or ()] + ([form.like] if form.like else [])
        answer = answer or await stack.answer(**fields)
    except (WrongForm, InvalidCall) as wrong:
        # With the form, so that the field can be corrected.
        return page(request, "ask.html", 400, release=release, answer=None, **context | {"wrong": in_words(wrong)})
    if not ANSWERS.has(key):
        key = ANSWERS.put(answer)
        release = stack.releases.open(answer["release"])
    context |= {"form": form, "answer": answer, "key": key, "release": release}
    part = request.headers.get("hx-target")
    if part == "cards":
        focused = (count - 1) // SHOWN * SHOWN
        shown = await _shown(request, release, answer, count, named)
        return page(request, "ask_cards.html", **context, **shown, focused=focused)
    context["funnel"] = shape = funnels.funnel_of(answer, fields["deadline_ms"])
    context |= await _opened(stack, release, answer, given.get("stage", ""), given.get("item", ""))
    if part == "detail":
        return page(request, "ask_detail.html", **context)
    context |= await _shown(request, release, answer, count, named)
    did = given.get("did", "")[:200]
    return page(request, "ask.html", **context, focused=None, did=did, bands=bands(shape), size=(WIDTH, HEIGHT))


async def upload(request: Request) -> Response:
    """Hold a picture or a sound, and show the page that asks with it."""
    async with request.form(max_files=1) as fields:
        file = fields.get("file")
        content = await file.read() if isinstance(file, UploadFile) else b""
        form = AskForm.of({name: value for name, value in fields.items() if isinstance(value, str)})
    key = MEDIA.put(content) if content else None
    if key is None:
        raise WrongForm("file: choose a picture (JPEG, PNG, WebP, GIF, BMP) or a sound (WAV, FLAC, OGG, MP3)")
    return RedirectResponse(address(PAGE, **form.with_fields(media=key).query), 303)


async def uploaded(request: Request) -> Response:
    """The picture or sound that was uploaded."""
    found = MEDIA.get(request.path_params["key"])
    if found is None:
        return Response(status_code=404)
    kind, content = found
    return Response(content, media_type=type_of(kind, content))


def _ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def _media(form: AskForm) -> dict[str, Any]:
    """The uploaded file as a part of the request's query."""
    if not form.media:
        return {}
    found = MEDIA.get(form.media)
    if found is None:
        raise WrongForm("media: the uploaded file is no longer held; choose it again")
    kind, content = found
    return {"image" if kind == "image" else "audio": {"b64": base64.b64encode(content).decode()}}


def _offered(release: OpenedRelease) -> dict[str, Any]:
    """What the form offers with a release."""
    path = release.release.folder / "encoders.json"
    encoders = EncoderInputs.model_validate_json(path.read_bytes()) if path.is_file() else None
    categories = [name for name in release.release.vocabularies.get("category", []) if name]
    return {
        "by_text": encoders is not None and encoders.text is not None,
        "by_image": encoders is not None and encoders.image is not None,
        "by_sound": encoders is not None and encoders.audio is not None,
        "categories": categories if len(categories) <= _MOST_CATEGORIES else [],
        "columns": [name for name in release.columns.names if name != "item_id"],
    }


async def _shown(
    request: Request, release: OpenedRelease, answer: dict[str, Any], count: int, named: list[str]
) -> dict[str, Any]:
    """What the page shows of the first ``count`` items of the answer, and of those that the request names."""
    before = ANSWERS.get(request.query_params.get("before", ""))
    changes = None if before is None else difference(_ids(before), _ids(answer))
    listed = [*_ids(answer)[:count], *(changes.gone if changes else ()), *named]
    found = await cards(stack_of(request), release, listed)
    return {
        "cards": found,
        "count": count,
        "more": min(SHOWN, len(answer["items"]) - count),
        "changes": changes,
        "types": release.release.schema.events[:MOST_TYPES],
        "unknown": [item_id for item_id in dict.fromkeys(named) if found[item_id].state == "unknown"],
    }


async def _opened(
    stack: Stack, release: OpenedRelease, answer: dict[str, Any], stage: str, item_id: str
) -> dict[str, Any]:
    """What the page shows beneath the funnel: a stage's candidates, or an item."""
    listed = funnels.candidates_of(answer, stage) if stage else []
    rows = listed[:_MOST_ROWS]
    found = funnels.candidate(answer, item_id) if item_id else None
    item_cards = await cards(stack, release, [item_id]) if item_id else {}
    return {
        "stage": stage,
        "rows": rows,
        "listed": len(listed),
        "row_cards": release_cards(release, [row["item_id"] for row in rows]),
        "item_id": item_id,
        "candidate": found,
        "item": item_cards.get(item_id),
        "reason": next((one.get("reason") for one in answer["items"] if one["item_id"] == item_id), None),
    }
