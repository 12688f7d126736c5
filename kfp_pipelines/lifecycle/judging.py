"""The steps that judge a candidate: evaluation and report of its twin, the gate on them, and the gate on itself."""

from kfp.dsl import HTML, Artifact, Input, Model, Output

from kfp_pipelines.components import step


@step
def evaluate(home: str, live: int, twin: Input[Model], evaluation: Output[Artifact], report: Output[HTML]) -> None:
    """Serve the release that lacks the held-out events, and measure what it recommends, beside the live release.

    Args:
        home: folder or ``s3://`` address of the releases.
        live: the live release; 0 without one.
        twin: the release without the held-out events.
        evaluation: ``record.json``, ``users.parquet`` and ``report.html``, as ``evaluations/N`` of a home.
        report: the report, for Kubeflow's UI and any browser.
    """
    import shutil
    from pathlib import Path

    from kfp_pipelines.console import show
    from kfp_pipelines.lifecycle.scratch import scratch
    from winnow.evaluation.measure import measure
    from winnow.reporting.page import write_report
    from winnow.result import reported

    with reported(), scratch(Path(twin.path), home, live) as (own, release, beside):
        if not len(release.array("holdout")):
            reason = "no user has enough events for one to be held out"
            show(f"not evaluated: {reason}")
            evaluation.metadata["unevaluated"] = reason
            Path(evaluation.path).mkdir(parents=True, exist_ok=True)
            Path(evaluation.path, "unevaluated.txt").write_text(reason)
            Path(report.path).write_text(f"<!doctype html><title>Not evaluated</title><p>Not evaluated: {reason}.")
        else:
            measure(release, beside, show_progress=True).write(str(own))
            shutil.copy(write_report(own, release.manifest.number), report.path)
            shutil.copytree(own / "evaluations", Path(evaluation.path, "evaluations"))


@step
def judge(
    home: str, live: int, rules: str, twin: Input[Model], evaluation: Input[Artifact], verdict: Output[Artifact]
) -> None:
    """Stop the run unless the rules hold of the evaluation, the data and the files. A failed check is named.

    Args:
        home: folder or ``s3://`` address of the releases.
        live: the live release; 0 without one.
        rules: what must hold, as the YAML or JSON of ``gate.yaml``; empty for the defaults.
        twin: the release that was evaluated.
        evaluation: what the step evaluate wrote.
        verdict: ``gate.json``, as ``evaluations/N`` of a home.
    """
    from pathlib import Path

    from kfp_pipelines.lifecycle.scratch import scratch
    from kfp_pipelines.lifecycle.verdicts import show_and_require
    from winnow.evaluation import record
    from winnow.lifecycle.gate import Gate, judge, metrics, write
    from winnow.result import reported
    from winnow.settings.file import parse

    with reported(), scratch(Path(twin.path), home, live) as (_, release, beside):
        found = record.read(evaluation.path, release.manifest.number)
        reason = Path(evaluation.path, "unevaluated.txt")
        chosen = parse(Gate, rules, "gate")
        missing = metrics.unevaluated(reason.read_text(), chosen.metrics) if reason.exists() else None
        said = judge(release, found, beside, chosen, unevaluated=missing)
        write(verdict.path, said)
        show_and_require(said)


@step
def check(
    home: str,
    live: int,
    rules: str,
    data: str,
    candidate: Input[Model],
    before: Input[Artifact],
    verdict: Output[Artifact],
) -> None:
    """Serve the release of all events, replay requests and offer a load. Stop the run unless the rules hold.

    Args:
        home: folder or ``s3://`` address of the releases.
        live: the live release; 0 without one.
        rules: what must hold, as the YAML or JSON of ``gate.yaml``; empty for the defaults.
        data: address of the data; on S3 its ``impressions/`` are the requests, elsewhere users of the release are.
        candidate: the release.
        before: the verdict of the step judge.
        verdict: both verdicts, as ``evaluations/N/gate.json`` of a home.
    """
    from pathlib import Path

    from kfp_pipelines.lifecycle.scratch import scratch
    from kfp_pipelines.lifecycle.verdicts import show_and_require, together
    from winnow import files
    from winnow.lifecycle.gate import Gate, Serving, judge, logged, sampled, write
    from winnow.result import reported
    from winnow.settings.file import parse

    with reported(), scratch(Path(candidate.path), home, live) as (_, release, beside):
        chosen = parse(Gate, rules, "gate")
        count = chosen.replay.requests
        requests = logged(data, count) if data.startswith(files.S3) else []
        # A pod has no Triton; the models inside the transformer give the same answers (decision 49).
        serving = Serving(requests or sampled(release, count), "embedded", show_progress=True)
        said = judge(release, None, beside, chosen, serving=serving)
        write(verdict.path, together(Path(before.path), said))
        show_and_require(said)
