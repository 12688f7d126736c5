"""The retraining pipeline: data -> a release that is judged, published and live.

A release of all events cannot be evaluated on them. Its twin is, which is built with the same inputs and settings, but
without the end of every user's log (decision 4). Only after the gate has passed is the release itself built.
"""

from typing import Any

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components, feature_extraction
from kfp_pipelines.lifecycle import components as lifecycle
from kfp_pipelines.parameters import RETRAINING, Given, inputs, takes
from kfp_pipelines.placement import placed


def _built(given: Given, number: Any, **artefacts: Any) -> Any:
    """The tasks that train and export one release; the task that exports is returned."""
    trained = components.train(
        **inputs(components.train, given, features=artefacts["features"], settings=given["training"], profile="")
    )
    # The longest TrainJob; in this process, training has as long.
    models = placed(trained, given, hours=14 * 24 + 1, models=True).outputs
    exported = lifecycle.export(
        home=given["home"], number=number, retriever=models["retriever"], ranker=models["ranker"], **artefacts
    )
    return placed(exported, given, hours=8)


@dsl.pipeline(
    name="retraining",
    description="From data to a live release: features, training, evaluation, gate, export, publication, promotion.",
)
@takes(RETRAINING)
def retraining(given: Given) -> None:
    """Build the next release from data, judge it, publish it and make it live."""
    tasks = feature_extraction.placed_steps(given, holdout="none")
    dataset, encoders = tasks.ingest.outputs["dataset"], tasks.encode.outputs["encoders"]

    held_out = placed(lifecycle.hold_out(dataset=dataset), given, hours=2).outputs["held_out"]
    # Spark computed `point_in_time` from all events.
    extracted = components.extract(dataset=held_out, encoders=encoders, point_in_time="")
    twin_features = placed(extracted, given, hours=8).outputs["features"]
    twin = _built(given, 0, dataset=held_out, encoders=encoders, features=twin_features)
    number = twin.outputs["Output"]

    standing = placed(lifecycle.standing(home=given["home"], number=number), given, hours=1).set_caching_options(False)
    with dsl.If(standing.outputs["published"] == False, "new"):  # noqa: E712  # kfp reads the comparison
        release = _built(given, number, dataset=dataset, encoders=encoders, features=tasks.extract.outputs["features"])
        published = lifecycle.publish(home=given["home"], candidate=release.outputs["candidate"])
        placed(published, given, hours=2).set_caching_options(False)
        live = lifecycle.promote(home=given["home"], number=published.output)
        placed(live, given, hours=1).set_caching_options(False)
