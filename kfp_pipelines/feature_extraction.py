"""The feature extraction pipeline: data -> validated tables -> embeddings -> features."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Model

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components
from kfp_pipelines.parameters import FEATURE_EXTRACTION, Given, inputs, takes
from kfp_pipelines.placement import placed


def read(given: Given, fingerprint: Any, **others: Any) -> tuple[Any, Any]:
    """The tasks that read the data and embed its items, in the pipeline that is being defined.

    Args:
        given: the pipeline's parameters.
        fingerprint: of the data.
        others: further inputs of ``ingest``.
    """
    rules = given.get("rules", "")
    ingested = components.ingest(**inputs(components.ingest, given, fingerprint=fingerprint, rules=rules, **others))
    dataset = ingested.outputs["dataset"]
    encoded = components.encode(**inputs(components.encode, given, dataset=dataset, settings=given["encoders"]))
    return ingested, encoded


def placed_read(given: Given, **others: Any) -> tuple[Any, Any]:
    """:func:`read` on a cluster, after the step that computes the fingerprint."""
    taken = placed(components.fingerprint(data=given["data"]), given, hours=1).set_caching_options(False)
    ingested, encoded = read(given, taken.output, **others)
    return placed(ingested, given, hours=4), placed(encoded, given, hours=24, models=True)


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
    ingested, encoded = placed_read(given)
    dataset, encoders = ingested.outputs["dataset"], encoded.outputs["encoders"]
    extracted = components.extract(**inputs(components.extract, given, dataset=dataset, encoders=encoders))
    placed(extracted, given, hours=8)
    return Extracted(dataset=dataset, encoders=encoders, features=extracted.outputs["features"])
