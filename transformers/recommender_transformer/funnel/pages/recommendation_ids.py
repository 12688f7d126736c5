"""The ids of recommendations: 16 random characters that name the answer, a dot, and what its next page needs.

The second part holds the fields of the request and a mark of every item that was shown, and is signed: no transformer
keeps state of an answer, so a plain request costs Redis nothing, and the next page can be asked of any process, at
once, of any release (docs/decisions/0062).
"""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import blake2b
from hmac import compare_digest
from secrets import token_bytes
from typing import Any

import orjson
from pydantic import ValidationError

from recommender_transformer.funnel.pages.page import Page
from recommender_transformer.funnel.pages.signing_key import SigningKey
from winnow.encoders.inputs import MODALITIES
from winnow.fields import QUOTED
from winnow.request import MAX_PAGED, InvalidRequest, Media, RecommendRequest

MAX_FIELDS = 2048
"""Bytes of a request's fields that an id holds; of longer ones it holds a digest, and the caller sends them again."""

_PER_PAGE = {"k", "debug", "deadline_ms", "reasons", "recommendation_id"}
"""Fields that each page has of its own."""

_OF_A_USER = {"user_id"} | _PER_PAGE

_SIGNATURE_BYTES = 12
_DIGEST_BYTES = 16
_HEADER = struct.Struct("<HH?")
"""``k``, bytes of the marks, and whether the fields are there rather than their digest."""

_TAIL = 256
"""Characters of an image or a sound, at its end, that stand for it: reading megabytes would delay every answer."""

_REMEDY = "send the whole recommendation_id of an answer, or leave it out for a first page"


class RecommendationIds:
    """Writes and reads ids.

    Args:
        key: signs them.
    """

    def __init__(self, key: SigningKey) -> None:
        self.key = key

    def write(self, page: Page, k: int, shown: bytes) -> str:
        """The id of an answer, whose items have the marks ``shown``; without a next page while there is no key."""
        name = urlsafe_b64encode(token_bytes(12))
        if self.key.value is None:
            return name.decode()
        shown = page.shown + shown
        fields = _fields(page.asked)
        whole = len(fields) <= MAX_FIELDS
        content = _HEADER.pack(k, len(shown), whole) + shown + (fields if whole else _digest(fields))
        return (name + b"." + urlsafe_b64encode(self._sign(self.key.value, name, content) + content)).decode()

    def read(self, request: RecommendRequest, where: str) -> tuple[RecommendRequest, Page]:
        """The whole request of a page, and which page it is.

        Reading the returned request again gives the same.

        Args:
            request: the validated request; one without a ``recommendation_id`` is a first page.
            where: path of the request in its call, for the message.

        Raises:
            InvalidRequest: the id is not one of these transformers' or has no further page, or the request has other
                fields than that of the first page.
        """
        given = request.recommendation_id
        if given is None:
            return request, Page(request)
        if self.key.value is None:
            return request, Page(request, closed="Redis has not answered since this process started")
        field = f"{where}.recommendation_id"
        k, shown, fields, digest = self._open(self.key.value, given, field)
        page = Page(request, shown)
        if page.first >= MAX_PAGED:
            raise InvalidRequest(
                f"{field}: has no further page, because {page.first} items were shown and pages end at {MAX_PAGED}; "
                "ask without it to begin again"
            )
        asked = _asked(request, fields, digest, where)
        own = {name: getattr(request, name) for name in _PER_PAGE}
        if "k" not in request.model_fields_set:
            own["k"] = k
        return asked.model_copy(update=own), page._replace(asked=asked)

    def _open(self, key: bytes, given: str, field: str) -> tuple[int, bytes, bytes, bytes]:
        """``k``, marks, fields and digest of the fields of a signed id; one of the last two is empty."""
        name, _, text = given.partition(".")
        if not text and len(name) == QUOTED:
            raise InvalidRequest(
                f"{field}: has no next page, because it is cut at the dot, or was made while Redis was away; {_REMEDY}"
            )
        try:
            signed = urlsafe_b64decode(text)
        except (Error, ValueError):
            signed = b""
        signature, content = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        if not name.isascii() or not compare_digest(self._sign(key, name.encode(), content), signature):
            raise InvalidRequest(f"{field}: is not that of an answer of this service; {_REMEDY}")
        k, length, whole = _HEADER.unpack_from(content)
        shown, rest = content[_HEADER.size :][:length], content[_HEADER.size + length :]
        return k, shown, rest if whole else b"", b"" if whole else rest

    def _sign(self, key: bytes, name: bytes, content: bytes) -> bytes:
        return blake2b(name + content, key=key, digest_size=_SIGNATURE_BYTES).digest()


def _asked(request: RecommendRequest, fields: bytes, digest: bytes, where: str) -> RecommendRequest:
    """The request of the first page; what ``request`` repeats of it must be equal."""
    again = request.model_fields_set - _PER_PAGE
    if digest:
        own = request.model_copy(update=_defaults(_PER_PAGE))
        if not again:
            raise InvalidRequest(
                f"{where}.recommendation_id: its request is too large to be part of it; send all fields of the request "
                "again with it"
            )
        if _digest(_fields(own)) != digest:
            raise InvalidRequest(
                f"{where}: has other fields than the request of its recommendation_id, which is too large to be part "
                "of it; send the same fields again"
            )
        return own
    try:
        asked = RecommendRequest.model_validate_json(fields)
    except ValidationError:
        raise InvalidRequest(
            f"{where}.recommendation_id: its request is not one of this version's; ask without it to begin again"
        ) from None
    for name in sorted(again):
        if getattr(request, name) != getattr(asked, name):
            raise InvalidRequest(
                f"{where}.{name}: differs from that of the recommendation whose next page is asked for; leave it out, "
                "or leave out recommendation_id for a first page"
            )
    return asked


def _fields(request: RecommendRequest) -> bytes:
    """The fields that all pages share, as JSON; an image or a sound is represented by its length and its end."""
    query = request.query
    if query is not None and (query.image or query.audio):
        short: dict[str, Media] = {
            name: _short(media) for name in MODALITIES if isinstance(media := getattr(query, name), Media)
        }
        request = request.model_copy(update={"query": query.model_copy(update=short)})
        # Never whole: the encoder needs the content itself.
        return b" " * MAX_FIELDS + _dumped(request)
    return _dumped(request)


def _dumped(request: RecommendRequest) -> bytes:
    if request.model_fields_set <= _OF_A_USER:
        # Most requests: pydantic takes several times as long.
        return orjson.dumps({"user_id": request.user_id})
    return request.model_dump_json(exclude_defaults=True, exclude=_PER_PAGE).encode()


def _short(media: Media) -> Media:
    return Media.model_construct(b64=f"{len(media.b64)} {media.b64[-_TAIL:]}")


def _defaults(names: set[str]) -> dict[str, Any]:
    return {name: RecommendRequest.model_fields[name].get_default() for name in names}


def _digest(fields: bytes) -> bytes:
    return blake2b(fields, digest_size=_DIGEST_BYTES).digest()
