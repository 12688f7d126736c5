"""The retraining pipeline: feature extraction -> retriever and ranker -> the next release."""

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components, feature_extraction


@dsl.pipeline(
    name="retraining",
    description="From data to the next release: features, training, export with parity checks.",
)
def retraining(
    home: str,
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
) -> int:
    """See :mod:`kfp_pipelines.components` for the parameters; returns the release's number."""
    extracted = feature_extraction.feature_extraction(
        data=data,
        holdout=holdout,
        items=items,
        users=users,
        events=events,
        seed=seed,
        encoders=encoders,
        embeddings=embeddings,
        triton=triton,
        output=output,
        point_in_time=point_in_time,
    ).outputs
    trained = components.train(dataset=extracted["dataset"], features=extracted["features"]).outputs
    released = components.release(
        data=data,
        items=items,
        users=users,
        events=events,
        seed=seed,
        chosen=encoders,
        holdout=holdout,
        home=home,
        dataset=extracted["dataset"],
        encoders=extracted["encoders"],
        features=extracted["features"],
        retriever=trained["retriever"],
        ranker=trained["ranker"],
    )
    number: int = released.outputs["Output"]
    return number
