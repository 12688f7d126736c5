"""What the pipelines do with a verdict of the gate: show it, stop the run, and join the two of one release."""

from pathlib import Path

from kfp_pipelines.console import show
from winnow.errors import WinnowError
from winnow.lifecycle.gate import Verdict
from winnow.lifecycle.verdict import address


class Refused(WinnowError):
    """The gate refused a release; the message names each failed check with its numbers."""

    exit_code = 3


def show_and_require(verdict: Verdict) -> None:
    """Show the checks.

    Raises:
        Refused: a check failed.
    """
    for check in verdict.checks:
        show(f"{'pass' if check.passed else 'FAIL'} {check.name}: {check.message}")
    if not verdict.passed:
        failed = "; ".join(f"{check.name}: {check.message}" for check in verdict.failed)
        raise Refused(f"the gate refused release {verdict.release}, nothing is published: {failed}")


def together(before: Path, verdict: Verdict) -> Verdict:
    """The verdict on a release and on the twin that was evaluated in its place.

    Args:
        before: home that has the verdict on the twin, under the same number.
        verdict: the verdict on the release.
    """
    twin = Verdict.model_validate_json(Path(address(before, verdict.release)).read_bytes())
    checks = tuple(check.model_copy(update={"name": f"{check.name} (of the evaluated build)"}) for check in twin.checks)
    both = {"evaluated": twin.evaluated, "checks": (*checks, *verdict.checks)}
    return verdict.model_copy(update=both | {"passed": twin.passed and verdict.passed})
