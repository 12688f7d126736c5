"""What the text encoder reads of an item."""


def caption(title: str | None, category: str | None, description: str | None) -> str:
    """Title, category and description, what is surest first; "" where the item has none of them."""
    return ". ".join(part.strip() for part in (title, category, description) if part and part.strip())
