"""What the sources and the filters of the funnel do, in plain words, beside their names."""

WORDS = {
    "found:complements": "what users take together with the item",
    "found:content": "items like the text, picture or sound",
    "found:covisitation": "what others took close to this user's recent items",
    "found:history": "what the user comes back to",
    "found:matching": "the most popular of the few items that match the filter",
    "found:new_items": "items that were added after the release was built",
    "found:offline": "the user's list that was computed beforehand",
    "found:pinned": "pinned by the rules or the request",
    "found:rank": "the items that the request lists",
    "found:retriever": "items closest to what the user did, by the two-tower model",
    "found:similar": "items closest to the item, by the two-tower model",
    "found:trending": "what is popular now",
    "removed:available": "not available, or taken down",
    "removed:disliked": "the user disliked the item",
    "removed:disliked_category": "the user dislikes all of its categories",
    "removed:request": "left out by the request's filters, or on an earlier page",
    "removed:rules": "left out by the business rules",
    "removed:seen": "the user has seen the item",
    "removed:unlikely": "of categories that the user never looked at; a random share is kept",
}
"""Stage of a component, as :class:`winnow.explorer.ask.funnel.Part` names it -> what it finds, or why it removes."""
