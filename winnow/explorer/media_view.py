"""``/media/image?item=ID`` and ``/media/sound?item=ID``: the picture and the sound of an item."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from winnow.explorer.base.items import OpenedRelease
from winnow.explorer.base.media import content_of, type_of
from winnow.explorer.base.stack import stack_of
from winnow.items.media import Kind

_KINDS: dict[str, Kind] = {"image": "image", "sound": "sound"}
_HELD = "private, max-age=60"


async def media(request: Request) -> Response:
    """The file, with the type that its content has; 404 where there is none."""
    kind = _KINDS.get(request.path_params["kind"])
    if kind is None:
        return Response(status_code=404)
    release = await stack_of(request).served()
    found = await run_in_threadpool(_read, release, kind, request.query_params.get("item", ""))
    if found is None:
        return Response(status_code=404)
    content, media_type = found
    return Response(content, media_type=media_type, headers={"cache-control": _HELD})


def _read(release: OpenedRelease, kind: Kind, item_id: str) -> tuple[bytes, str] | None:
    path = release.media(kind, item_id)
    content = None if path is None else content_of(path)
    media_type = None if content is None else type_of(kind, content)
    return None if content is None or media_type is None else (content, media_type)
