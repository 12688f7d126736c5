"""The feature extraction pipeline: data -> validated tables -> embeddings -> features."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Model

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components
from kfp_pipelines.parameters import FEATURE_EXTRACTION, Given, inputs, takes


class Extracted(NamedTuple):
    """Artefacts of feature extraction."""

    dataset: Dataset
    encoders: Model
    features: Dataset


@dsl.pipeline(
    name="feature-extraction",
    description="Validate a catalog and its events, embed the items, and compute point-in-time features.",
)
@takes(FEATURE_EXTRACTION)
def feature_extraction(
    given: Given,
) -> NamedTuple("Extracted", dataset=Dataset, encoders=Model, features=Dataset):  # type: ignore[valid-type]  # kfp reads this form
    """Validate the data, embed the items, compute the features."""
    ingested = components.ingest(**inputs(components.ingest, given)).outputs
    dataset = ingested["dataset"]
    encoded = components.encode(**inputs(components.encode, given, dataset=dataset, settings=given["encoders"])).outputs
    extracted = components.extract(
        **inputs(components.extract, given, dataset=dataset, encoders=encoded["encoders"])
    ).outputs
    return Extracted(dataset=dataset, encoders=encoded["encoders"], features=extracted["features"])
