"""The feature extraction pipeline: data -> validated tables -> embeddings -> features."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Model

# The whole module: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components


class Extracted(NamedTuple):
    """What feature extraction hands on."""

    dataset: Dataset
    encoders: Model
    features: Dataset


@dsl.pipeline(
    name="feature-extraction",
    description="Validate a catalog and its events, embed the items, and compute point-in-time features.",
)
def feature_extraction(
    data: str = "",
    holdout: str = "none",
    items: int = 2000,
    users: int = 3000,
    events: int = 150000,
    seed: int = 7,
    encoders: str = "",
    embeddings: str = "",
    triton: str = "",
    output: str = "",
    point_in_time: str = "",
) -> NamedTuple("Extracted", dataset=Dataset, encoders=Model, features=Dataset):  # type: ignore[valid-type]  # kfp reads this form
    """See :mod:`kfp_pipelines.components` for the parameters."""
    ingested = components.ingest(data=data, holdout=holdout, items=items, users=users, events=events, seed=seed)
    encoded = components.encode(
        dataset=ingested.outputs["dataset"],
        settings=encoders,
        embeddings=embeddings,
        triton=triton,
        output=output,
    )
    extracted = components.extract(
        dataset=ingested.outputs["dataset"], encoders=encoded.outputs["encoders"], point_in_time=point_in_time
    )
    return Extracted(
        dataset=ingested.outputs["dataset"],
        encoders=encoded.outputs["encoders"],
        features=extracted.outputs["features"],
    )
