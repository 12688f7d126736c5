"""Which backend gets a request: the rules of the Gateway API's HTTPRoute, as far as Winnow's routes use them."""

from collections.abc import Mapping
from typing import Any

from validation.objects import Object

_UNDERSTOOD = {"path", "headers", "method"}


def backends(
    route: Object, path: str, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> dict[str, int]:
    """Weights of the backends that a request may go to, by service; empty where no rule matches.

    Matches of a rule are alternatives, the conditions of a match all hold. Of the matches that hold the most specific
    wins: an exact path, then the longest prefix, then a method, then the most headers; then the first.

    Raises:
        NotImplementedError: a rule matches by what is not understood here.
    """
    given = {name.lower(): value for name, value in (headers or {}).items()}
    best: tuple[tuple[int, int, int, int], dict[str, int]] | None = None
    for rule in route["spec"]["rules"]:
        for match in rule.get("matches", [{}]):
            rank = _rank(match, path, given, method)
            if rank is not None and (best is None or rank > best[0]):
                best = rank, {each["name"]: each.get("weight", 1) for each in rule.get("backendRefs", ())}
    return best[1] if best else {}


def _rank(
    match: Mapping[str, Any], path: str, headers: Mapping[str, str], method: str
) -> tuple[int, int, int, int] | None:
    """How specific a match is; null where it does not hold."""
    if unknown := set(match) - _UNDERSTOOD:
        raise NotImplementedError(f"matches by {', '.join(sorted(unknown))}")
    wanted = match.get("path", {"type": "PathPrefix", "value": "/"})
    if wanted["type"] == "Exact":
        held, exact = path == wanted["value"], 1
    elif wanted["type"] == "PathPrefix":
        # By elements: /v1/models is a prefix of /v1/models/x, not of /v1/models2.
        prefix = wanted["value"].rstrip("/")
        held, exact = path == prefix or path.startswith(f"{prefix}/"), 0
    else:
        raise NotImplementedError(f"path of type {wanted['type']}, which each gateway understands as it likes")
    for header in match.get("headers", ()):
        if header.get("type", "Exact") != "Exact":
            raise NotImplementedError(f"header of type {header['type']}, which each gateway understands as it likes")
        held = held and headers.get(header["name"].lower()) == header["value"]
    held = held and match.get("method", method) == method
    return (exact, len(wanted["value"]), int("method" in match), len(match.get("headers", ()))) if held else None
