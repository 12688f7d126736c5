"""The retraining pipeline: feature extraction -> retriever and ranker -> the next release."""

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components, feature_extraction
from kfp_pipelines.parameters import RETRAINING, Given, inputs, takes


@dsl.pipeline(
    name="retraining",
    description="From data to the next release: features, training, export with parity checks.",
)
@takes(RETRAINING)
def retraining(given: Given) -> int:
    """Build the next release from data; the result is its number."""
    features = feature_extraction.feature_extraction
    extracted = features(**inputs(features, given)).outputs
    trained = components.train(
        **inputs(
            components.train,
            given,
            features=extracted["features"],
            settings=given["training"],
        )
    ).outputs
    released = components.release(
        home=given["home"],
        dataset=extracted["dataset"],
        encoders=extracted["encoders"],
        features=extracted["features"],
        retriever=trained["retriever"],
        ranker=trained["ranker"],
    )
    number: int = released.outputs["Output"]
    return number
