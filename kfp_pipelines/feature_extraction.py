"""The feature extraction pipeline: data -> validated tables -> embeddings -> features."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Model

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components
from kfp_pipelines.parameters import FEATURE_EXTRACTION, Given, inputs, takes
from kfp_pipelines.placement import placed


class Steps(NamedTuple):
    """Tasks of feature extraction."""

    ingest: Any
    encode: Any
    extract: Any


def steps(given: Given, fingerprint: Any, holdout: Any = None) -> Steps:
    """The tasks of feature extraction, in the pipeline that is being defined.

    Args:
        given: the pipeline's parameters.
        fingerprint: of the data.
        holdout: in place of the parameter of that name.
    """
    others = {"fingerprint": fingerprint} | ({} if holdout is None else {"holdout": holdout})
    ingested = components.ingest(**inputs(components.ingest, given, **others))
    dataset = ingested.outputs["dataset"]
    encoded = components.encode(**inputs(components.encode, given, dataset=dataset, settings=given["encoders"]))
    encoders = encoded.outputs["encoders"]
    extracted = components.extract(**inputs(components.extract, given, dataset=dataset, encoders=encoders))
    return Steps(ingested, encoded, extracted)


def placed_steps(given: Given, **others: Any) -> Steps:
    """:func:`steps` after the step that computes the fingerprint, all with their place on a cluster."""
    taken = placed(components.fingerprint(data=given["data"]), given, hours=1).set_caching_options(False)
    tasks = steps(given, taken.output, **others)
    placed(tasks.ingest, given, hours=4)
    placed(tasks.encode, given, hours=24, models=True)
    placed(tasks.extract, given, hours=8)
    return tasks


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
    tasks = placed_steps(given)
    return Extracted(
        dataset=tasks.ingest.outputs["dataset"],
        encoders=tasks.encode.outputs["encoders"],
        features=tasks.extract.outputs["features"],
    )
