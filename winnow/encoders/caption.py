"""The text of an item for the text encoder."""


def caption(title: str | None, category: str | None, description: str | None) -> str:
    """Title, category and description, the most reliable first; empty where the item has none of them."""
    return ". ".join(part.strip() for part in (title, category, description) if part and part.strip())
