"""``POST /act``: an event, a change of a price, taking an item down or putting it back; then the page is shown anew."""

import math

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from winnow.client import InvalidCall
from winnow.explorer.ask.form import PAGE, AskForm, WrongForm
from winnow.explorer.ask.views import ANSWERS
from winnow.explorer.base.pages import address, error_page, in_words
from winnow.explorer.base.stack import Stack, stack_of

_WORDS = {"disable": "was taken down", "enable": "was put back"}


async def act(request: Request) -> Response:
    """Do it, and show what follows: the list, compared with the one before, or the page of the item."""
    async with request.form() as fields:
        given = {name: value for name, value in fields.items() if isinstance(value, str)}
    form, item_id = AskForm.of(given), given.get("item", "")
    if not item_id:
        raise WrongForm("item: is missing; go back and use the buttons of a card")
    path, query = (PAGE, form.query) if form.asks else ("/item", {"id": item_id})
    try:
        did = await _done(stack_of(request), form, item_id, given)
    except (WrongForm, InvalidCall) as wrong:
        response = error_page(request, 400, in_words(wrong), back=address(path, **query))
        # The address stays that of the page with the form.
        response.headers["hx-push-url"] = "false"
        return response
    return RedirectResponse(address(path, **query, before=given.get("answer", ""), did=did), 303)


async def _done(stack: Stack, form: AskForm, item_id: str, given: dict[str, str]) -> str:
    """Do what the form says; returns it in words."""
    what = given.get("act", "")
    if what in _WORDS:
        change = stack.winnow.disable_items if what == "disable" else stack.winnow.enable_items
        await change([item_id])
        return f"{item_id} {_WORDS[what]}"
    if what == "price":
        price = _price(given.get("price", ""))
        await stack.winnow.put_item({"item_id": item_id, "price": price})
        return f"the price of {item_id} was changed to {price:g}"
    if what.startswith("event:"):
        if not form.user:
            raise WrongForm("user: an event needs a user; ask for one")
        event = what.removeprefix("event:")
        answer = ANSWERS.get(given.get("answer", ""))
        quoted = {"recommendation_id": answer["recommendation_id"]} if answer else {}
        await stack.winnow.send_event({"user_id": form.user, "item_id": item_id, "event": event, **quoted})  # type: ignore[typeddict-item]
        return f"{event} of {item_id} was sent for {form.user}"
    raise WrongForm(f"act: {what[:40]!a} is not an act; go back and use the buttons of a card")


def _price(text: str) -> float:
    try:
        price = float(text.replace(",", "."))
    except ValueError:
        price = math.nan
    if not 0 <= price < 1e12:
        raise WrongForm(f"price: must be a number, 0 or above, got {text[:40]!a}")
    return price
