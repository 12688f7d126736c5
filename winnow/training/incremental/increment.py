"""What an incremental build learned: its figures in the manifest."""

from pydantic import BaseModel, ConfigDict


class Increment(BaseModel):
    """What an incremental build learned, and how far its item vectors moved.

    Attributes:
        from_release: the release that training went on from.
        chain: incremental builds since the last full one.
        events: events since that release.
        users: users with such events.
        items: items that the release did not have.
        removed: items of the release that are no longer in the catalog.
        cosine: mean cosine between the vectors of an item in both releases, over the items that both have.
        cosine_p05: its fifth percentile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_release: int
    chain: int
    events: int
    users: int
    items: int
    removed: int
    cosine: float
    cosine_p05: float
