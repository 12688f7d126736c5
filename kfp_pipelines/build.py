"""The pipeline of ``winnow build``: features -> retriever and ranker -> the next release of a folder.

On a cluster, :mod:`kfp_pipelines.lifecycle.retraining` takes these steps, and judges the release.
"""

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components, feature_extraction
from kfp_pipelines.parameters import BUILD, Given, inputs, takes


@dsl.pipeline(name="build", description="From data to the next release on one machine: features, training, export.")
@takes(BUILD)
def build(given: Given) -> int:
    """Build the next release from data; the result is its number."""
    # A build on one machine keeps no step's result beyond itself, so nothing depends on the fingerprint.
    ingested, encoded = feature_extraction.read(given, fingerprint="")
    dataset, encoders = ingested.outputs["dataset"], encoded.outputs["encoders"]
    extracted = components.extract(**inputs(components.extract, given, dataset=dataset, encoders=encoders))
    features = extracted.outputs["features"]
    here = {"train_on": "process", "nodes": 1, "gpus": 1, "hours": 1}
    trained = components.train(
        **inputs(components.train, given, features=features, settings=given["training"], **here)
    ).outputs
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
