"""S3: releases, models, embeddings and the log; and the release folder that every transformer downloads."""

from winnow.planning import rules
from winnow.planning.figures import GIB, Figure, shown
from winnow.planning.prices import Prices
from winnow.planning.units import Units
from winnow.planning.workload import Workload


def release(workload: Workload, units: Units) -> dict[str, float]:
    """Bytes of a release's folder, by what they grow with."""
    return {
        "items": workload.items * (units.release_item_bytes.value + 4 * (workload.dimension - 64)),
        "users": workload.users * (units.release_user_bytes.value + workload.history * units.release_event_bytes.value),
    }


def models(workload: Workload, units: Units) -> float:
    """Bytes of a release's models that grow with the items."""
    return workload.items * 4 * workload.dimension * (1 + units.further_copies.value)


def total(workload: Workload, units: Units) -> float:
    """Bytes in S3."""
    kept = rules.RELEASES_KEPT.value * (sum(release(workload, units).values()) + models(workload, units))
    embeddings = workload.items * len(workload.modalities) * units.embedding_bytes.value
    return kept + embeddings + workload.users * workload.history * units.release_event_bytes.value


def figures(workload: Workload, units: Units, prices: Prices) -> list[Figure]:
    """The figures of S3, and the time to encode the items."""
    folder = release(workload, units)
    found = [
        Figure(
            "a release's folder", sum(folder.values()) / GIB, "GiB",
            f"{shown(workload.items)} items x {shown(units.release_item_bytes.value)} bytes + "
            f"{shown(workload.users)} users x ({shown(units.release_user_bytes.value)} + {shown(workload.history)} x "
            f"{shown(units.release_event_bytes.value)} bytes)",
            ("release_item_bytes", "release_user_bytes", "release_event_bytes"),
        ),
        Figure(
            "S3", total(workload, units) / 1e9, "GB",
            f"{rules.RELEASES_KEPT.value:g} releases with their models, {len(workload.modalities)} embeddings of "
            f"{shown(units.embedding_bytes.value)} bytes per item, and the log",
            ("embedding_bytes", "further_copies", "release_event_bytes"),
        ),
    ]  # fmt: skip
    if "image" in workload.modalities:
        seconds = workload.items / units.encode_images.value
        because = f"{shown(workload.items)} images at {shown(units.encode_images.value)} a second, once"
        found.append(Figure("first encoding of the images", seconds / 3600, "GPU hours", because, ("encode_images",)))
    return found
