"""The retraining pipeline: data -> a release that is judged, published and live.

A release of all events cannot be evaluated on them. Its twin is, which is built with the same inputs and settings, but
without the end of every user's log (decision 4). Only after the gate has passed is the release itself built, under the
same number.
"""

from typing import Any

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines import components, feature_extraction
from kfp_pipelines.lifecycle import components as lifecycle
from kfp_pipelines.lifecycle import judging
from kfp_pipelines.parameters import RETRAINING, Given, inputs, takes
from kfp_pipelines.placement import placed


def _built(given: Given, number: Any, after: Any = None, **inputs_of_extract: Any) -> Any:
    """The tasks that extract, train and export one release; the task that exports is returned."""
    extracted = placed(components.extract(**inputs_of_extract), given, hours=8)
    if after is not None:
        extracted.after(after)
    features = extracted.outputs["features"]
    trained = components.train(
        **inputs(components.train, given, features=features, settings=given["training"], profile="")
    )
    # As long as the longest TrainJob.
    models = placed(trained, given, hours=14 * 24 + 1, models=True).outputs
    exported = lifecycle.export(
        home=given["home"],
        number=number,
        dataset=inputs_of_extract["dataset"],
        encoders=inputs_of_extract["encoders"],
        features=features,
        retriever=models["retriever"],
        ranker=models["ranker"],
    )
    return placed(exported, given, hours=8)


@dsl.pipeline(
    name="retraining",
    description="From data to a live release: features, training, evaluation, gate, export, publication, promotion.",
)
@takes(RETRAINING)
def retraining(given: Given) -> None:
    """Build the next release from data, judge it, publish it and make it live."""
    home = given["home"]
    ingested, encoded = feature_extraction.placed_read(given, holdout="none")
    dataset, encoders = ingested.outputs["dataset"], encoded.outputs["encoders"]
    held_out = placed(lifecycle.hold_out(dataset=dataset), given, hours=2).outputs["held_out"]
    # Spark computed `point_in_time` from all events.
    twin = _built(given, 0, dataset=held_out, encoders=encoders, point_in_time="")
    number, twin_release = twin.outputs["Output"], twin.outputs["candidate"]
    standing = placed(lifecycle.standing(home=home, number=number), given, hours=1).set_caching_options(False)
    live = standing.outputs["live"]

    # A number that is published belongs to a run with the same data and settings, which all steps so far were taken of.
    with dsl.If(standing.outputs["published"] == False, "new"):  # noqa: E712  # kfp reads the comparison
        rules: dict[str, Any] = {"home": home, "live": live, "rules": given["gate"]}
        evaluated = placed(judging.evaluate(home=home, live=live, twin=twin_release), given, hours=8)
        evaluation = evaluated.outputs["evaluation"]
        judged = placed(judging.judge(twin=twin_release, evaluation=evaluation, **rules), given, hours=1, retries=0)

        point_in_time = given["point_in_time"]
        release = _built(
            given, number, judged, dataset=dataset, encoders=encoders, point_in_time=point_in_time
        ).outputs["candidate"]
        before = judged.outputs["verdict"]
        checked = placed(
            judging.check(data=given["data"], candidate=release, before=before, **rules), given, hours=2, retries=0
        )
        published = lifecycle.publish(
            home=home, candidate=release, evaluation=evaluation, verdict=checked.outputs["verdict"]
        )
        placed(published, given, hours=2).set_caching_options(False)
        promoted = lifecycle.promote(home=home, number=published.output)
        placed(promoted, given, hours=1).set_caching_options(False)
