"""The incremental pipeline: the models of a release learn the events since then -> the next release."""

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components, going_on
from kfp_pipelines.parameters import INCREMENTAL, Given, inputs, takes


@dsl.pipeline(
    name="incremental",
    description="From a release and newer data to the next release, in a fraction of the time of a full retraining.",
)
@takes(INCREMENTAL)
def incremental(given: Given) -> int:
    """Build the next release from an earlier one and newer data; the result is its number."""
    dataset = components.ingest(**inputs(components.ingest, given, fingerprint="")).outputs["dataset"]
    reused = going_on.reuse_encoders(**inputs(going_on.reuse_encoders, given, dataset=dataset))
    # Which release is live, or is a twin, changes while the step's inputs do not.
    reused.set_caching_options(False)
    encoders = reused.outputs["encoders"]
    features = components.extract(**inputs(components.extract, given, dataset=dataset, encoders=encoders)).outputs[
        "features"
    ]
    trained = going_on.go_on(**inputs(going_on.go_on, given, encoders=encoders, features=features)).outputs
    released = components.release(
        home=given["home"],
        dataset=dataset,
        encoders=encoders,
        features=features,
        retriever=trained["retriever"],
        ranker=trained["ranker"],
    )
    number: int = released.outputs["Output"]
    return number
