"""The attributes that `winnow users set` takes."""

import pytest

from winnow.cli.users.commands import parsed
from winnow.errors import WinnowError


def test_values_are_json_or_plain_text() -> None:
    given = ["country=pt", "age=34", 'interests=["books","games"]', "city=", "note=a=b", "zip=007"]
    expected = {"country": "pt", "age": 34, "interests": ["books", "games"], "city": None, "note": "a=b"}
    assert parsed(given) == expected | {"zip": "007"}


@pytest.mark.parametrize("text", ["country", "=pt"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(WinnowError, match="is not of the form COLUMN=VALUE"):
        parsed([text])
