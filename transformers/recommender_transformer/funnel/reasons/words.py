"""The English words of reasons. Event types are the shop's own: common ones have a verb, others are named."""

_VERBS = {
    "view": "viewed",
    "visit": "viewed",
    "click": "clicked",
    "open": "opened",
    "buy": "bought",
    "purchase": "bought",
    "order": "ordered",
    "cart": "put in your cart",
    "add_to_cart": "put in your cart",
    "like": "liked",
    "favorite": "saved",
    "favourite": "saved",
    "wishlist": "saved",
    "save": "saved",
    "bookmark": "saved",
    "play": "played",
    "listen": "listened to",
    "watch": "watched",
    "read": "read",
    "download": "downloaded",
    "share": "shared",
    "book": "booked",
    "rent": "rented",
}


def because(event: str, title: str) -> str:
    """Others combine the item with one of the user's."""
    verb = _verb(event)
    return f"because you {verb} {title}" if verb else f"because of your event {event} with {title}"


def similar(event: str, title: str) -> str:
    """The item is near to one of the user's."""
    verb = _verb(event)
    return f"similar to {title}, which you {verb}" if verb else f"similar to {title}, with which you had {event}"


def like(title: str, near: bool) -> str:
    """The item is among the nearest to the one of the request, and near to it or not."""
    return f"similar to {title}" if near else f"the nearest to {title} that is left"


def together(title: str) -> str:
    """Users take the item close to the one of the request."""
    return f"often taken together with {title}"


def before(event: str, times: int) -> str:
    """The item is one of the user's."""
    verb, often = _verb(event), "before" if times == 1 else f"{times} times before"
    if verb is None:
        return f"you had the event {event} with it {often}"
    # "put it in your cart", "bought it", "listened to it"
    head, _, rest = verb.partition(" ")
    return f"you {head} {rest} it {often}" if rest == "to" else f"you {head} it {rest} {often}".replace("  ", " ")


def picked(events: int) -> str:
    """The models chose the item by the whole history."""
    if not events:
        return "picked for you"
    return f"picked for you from your history of {events} event{'' if events == 1 else 's'}"


def popular(category: str | None) -> str:
    """Many take the item now."""
    return "popular" if category is None else f"popular in {category}"


def _verb(event: str) -> str | None:
    return _VERBS.get(event.lower().replace("-", "_").replace(" ", "_"))
