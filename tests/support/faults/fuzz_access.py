"""Hypothesis strategies of credentials: valid, unknown and malformed ones, in either header or in both."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


def access_headers(keys: Sequence[str]) -> st.SearchStrategy[dict[str, str]]:
    """Headers of a credential: most of them a valid one."""
    latin = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=300)
    odd = latin.filter(lambda text: not 0x7F <= max(map(ord, text), default=0) <= 0x9F)
    token = st.lists(st.text("abcDEF012_-=", max_size=40), min_size=2, max_size=4).map(".".join)
    valid = st.sampled_from(keys)
    signed = token.map(lambda text: f"eyJhbGciOiJSUzI1NiJ9.{text}")
    credential = _weighted([valid] * 20 + [odd, token, signed])
    scheme = st.sampled_from(["Bearer "] * 12 + ["bearer ", "Basic ", "", "Bearer  Bearer "])
    # HTTP's client refuses a space at the end.
    bearer = st.builds(lambda word, given: {"Authorization": (word + given).strip()}, scheme, credential)
    other = credential.map(lambda given: {"X-API-Key": given})
    both = st.builds(lambda one, two: one | two, bearer, other)
    return _weighted([bearer] * 10 + [other] * 5 + [both, st.just({})])


def _weighted(choices: Sequence[st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several, each as often as it is listed; ``one_of`` counts equal ones once."""
    return st.sampled_from(range(len(choices))).flatmap(lambda number: choices[number])
