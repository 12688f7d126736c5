"""The verdict on a release: all checks, the expensive ones after the cheap ones have passed."""

from collections.abc import Iterator

from winnow.evaluation.record import EvaluationRecord
from winnow.lifecycle.gate import artefacts, data, metrics
from winnow.lifecycle.gate import serving as served
from winnow.lifecycle.gate.rules import Gate
from winnow.lifecycle.gate.serving import Serving
from winnow.lifecycle.verdict import Check, Verdict
from winnow.release import Release


def judge(
    candidate: Release,
    record: EvaluationRecord | None,
    live: Release | None,
    rules: Gate,
    *,
    evaluated: Release | None = None,
    unevaluated: Check | None = None,
    serving: Serving | None = None,
) -> Verdict:
    """Judge a release. Nothing is written; :func:`winnow.lifecycle.verdict.write` keeps the verdict.

    A pipeline judges twice: the release without the held-out events, with its record and without ``serving``, before it
    builds from all events; and then the release of all events, without a record and with ``serving``.

    Args:
        candidate: the release, in a home: ``releases/N`` beside ``model_repository/N``.
        record: the evaluation; ``None`` leaves its checks out.
        live: the live release; without one, nothing is compared.
        rules: what must hold.
        evaluated: the release that ``record`` is of, where that is not the candidate.
        unevaluated: the check in place of a record that could not be made.
        serving: how to serve the release for replay and load check; ``None`` leaves them out.

    Raises:
        WinnowError: the live release cannot be served.
    """
    checks = list(_cheap(candidate, record, live, rules, evaluated, unevaluated))
    good = all(check.passed for check in checks)
    if serving is not None and good:
        checks += served.checks(candidate, live, rules, serving)
    return Verdict(
        release=candidate.manifest.number,
        live=None if live is None else live.manifest.number,
        evaluated=None if record is None else record.release,
        passed=all(check.passed for check in checks),
        checks=tuple(checks),
        not_run=("replay", "load") if serving is not None and not good else (),
    )


def _cheap(
    candidate: Release,
    record: EvaluationRecord | None,
    live: Release | None,
    rules: Gate,
    evaluated: Release | None,
    unevaluated: Check | None,
) -> Iterator[Check]:
    yield artefacts.whole(candidate)
    yield from artefacts.parity(candidate, rules.parity)
    if live is not None:
        yield artefacts.schema(candidate, live, rules.feature_schema)
    yield from data.checks(candidate, live, rules.data)
    if evaluated is not None and evaluated.manifest.number != candidate.manifest.number:
        yield data.same_data(candidate, evaluated)
    if record is not None:
        yield from metrics.checks(record, None if live is None else live.manifest.number, rules.metrics)
    elif unevaluated is not None:
        yield unevaluated
