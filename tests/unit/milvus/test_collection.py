"""Names, conditions and addresses of Milvus; no server takes part."""

import sys

import pytest

from winnow.errors import WinnowError
from winnow.local import milvus as local_milvus
from winnow.milvus import connection
from winnow.milvus.collection import expression, number_of


def test_a_condition_has_what_the_request_filters():
    assert expression(1, None, []) == "available == true"
    assert expression(2, [3, 5], [7]) == (
        "available == true and (category_0 in [3, 5] or category_1 in [3, 5]) and id not in [7]"
    )


def test_a_collection_tells_its_release_and_foreign_names_tell_none():
    assert number_of("winnow_r12_0123456789ab") == 12
    assert [number_of(name) for name in ("winnow_r12", "winnow_r12_0123456789abc", "books")] == [None] * 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "set MILVUS_URL to its address"),
        ("milvus:19530", "MILVUS_URL must be http://HOST:PORT"),
        ("http://root:secretword@milvus:19530", "a user and password go into MILVUS_TOKEN"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_secrets(monkeypatch, given, message):
    monkeypatch.setenv("MILVUS_URL", given)
    with pytest.raises(WinnowError, match=message) as caught:
        connection.address()
    assert "secretword" not in str(caught.value)


def test_without_pymilvus_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    monkeypatch.setenv("MILVUS_URL", "http://milvus:19530")
    remedy = r"install the extra milvus \(`pip install 'winnow\[milvus\]'`\)"
    with pytest.raises(WinnowError, match=remedy):
        connection.address()
    with pytest.raises(WinnowError, match=remedy), connection.connect("http://milvus:19530"):
        pass


def test_without_milvus_lite_a_stack_names_the_remedies(monkeypatch, tmp_path):
    monkeypatch.setattr(local_milvus, "find_spec", {"pymilvus": object()}.get)
    with pytest.raises(WinnowError, match=r"milvus-lite and pymilvus are missing: run `make setup` .* set MILVUS_URL"):
        local_milvus.server(tmp_path / "milvus", 1, tmp_path / "log")
