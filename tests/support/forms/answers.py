"""The items of an answer, by id and by index."""

from winnow.forms.answer import Answer


def ids(answer: Answer) -> list[str]:
    """The ids of an answer's items."""
    return [item["item_id"] for item in answer["items"]]


def numbers(answer: Answer) -> list[int]:
    """The indices of an answer's items, of a tiny release."""
    return [int(item_id.removeprefix("item-")) for item_id in ids(answer)]
