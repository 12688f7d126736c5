"""Experiments: the assignment by hash, what arms set in requests, and every mistake in the file."""

from pathlib import Path

import numpy as np
import pytest

from winnow.request import RecommendRequest
from winnow.settings.experiments import Experiments, position, read
from winnow.settings.file import SettingsError, parse

FILE = """
experiments:
  - name: diversity
    arms:
      - {name: control, share: 0.5}
      - {name: diverse, share: 0.3, defaults: {diversity: 0.4}}
      - {name: very, share: 0.2, defaults: {diversity: 0.8, repeats: demote}}
  - name: weights
    arms:
      - {name: control, share: 0.5}
      - {name: sales, share: 0.5, defaults: {objectives: {buy: 9}}}
"""


def declared(text: str = FILE) -> Experiments:
    return parse(Experiments, text, "experiments.yaml")


def request(user_id: str | None = "u1", **fields: object) -> RecommendRequest:
    return RecommendRequest.model_validate({"user_id": user_id, **fields})


@pytest.mark.parametrize(
    ("user", "digest", "arm"),
    [
        # printf 'diversity:u1' | sha256sum
        ("u1", "2c164c5b920e6f03", "control"),
        ("ana@example.com", "ec6f211f2e3528dd", "very"),
        ("Ünï 7", "fcd0c84fd846f870", "very"),
    ],
)
def test_the_arm_is_that_of_the_documented_hash(user: str, digest: str, arm: str) -> None:
    assert position("diversity", user) == int(digest, 16) / 2**64
    assert declared().experiments[0].arm_of(user).name == arm


def test_arms_get_their_shares_and_experiments_are_independent() -> None:
    users, experiments = [f"user-{n}" for n in range(20_000)], declared()
    arms = [np.array([one.arm_of(user).name for user in users]) for one in experiments.experiments]
    for arm, share in (("control", 0.5), ("diverse", 0.3), ("very", 0.2)):
        assert (arms[0] == arm).mean() == pytest.approx(share, abs=0.012)
        # Half of each arm is in the other experiment's control.
        assert (arms[1][arms[0] == arm] == "control").mean() == pytest.approx(0.5, abs=0.03)


def test_rounding_leaves_no_user_without_an_arm() -> None:
    arms = "".join(f"      - {{name: a{n}, share: 0.1}}\n" for n in range(10))
    [experiment] = declared(f"experiments:\n  - name: ten\n    arms:\n{arms}").experiments
    assert sum(arm.share for arm in experiment.arms) < 1.0
    found = {experiment.arm_of(f"user-{n}").name for n in range(500)}
    assert found == {arm.name for arm in experiment.arms}


def test_an_arm_sets_what_the_request_leaves_out() -> None:
    found, arms = declared().assign(request("ana@example.com", k=3))
    assert arms["diversity"] == "very"
    assert (found.diversity, found.repeats, found.k) == (0.8, "demote", 3)
    found, arms = declared().assign(request("ana@example.com", diversity=0.0))
    assert (found.diversity, found.repeats, arms["diversity"]) == (0.0, "demote", "very")
    sales = next(user for n in range(99) if declared().experiments[1].arm_of(user := f"u{n}").name == "sales")
    assert declared().assign(request(sales))[0].objectives == {"buy": 9.0}
    assert declared().assign(request(sales, objectives={"view": 2.0}))[0].objectives == {"view": 2.0}


def test_a_request_without_a_user_has_no_arm() -> None:
    asked = request(None, query={"text": "a red ball"})
    assert declared().assign(asked) == (asked, {})
    assert Experiments().assign(request()) == (request(), {})


def experiment(*arms: str, name: str = "e") -> str:
    return f"experiments: [{{name: {name}, arms: [{', '.join(arms)}]}}]"


HALF = "{name: a, share: 0.5}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            experiment(HALF, "{name: b, share: 0.4}"),
            r"experiments\[0\].arms: the shares of the arms must add up to 1, got",
        ),
        (experiment(HALF, HALF), r"experiments\[0\].arms: the arm a is declared 2 times"),
        (experiment("{name: a, share: 1}"), r"experiments\[0\].arms\[0\].share: must be less than 1, got 1"),
        (experiment(HALF), r"experiments\[0\].arms: an experiment needs at least 2 arms, got 1"),
        (experiment(HALF, "{name: b, share: .nan}"), r"experiments\[0\].arms\[1\].share: must be"),
        (experiment(HALF, HALF, name="a:b"), r"experiments\[0\].name: String should match"),
        (experiment(HALF, "{name: b, share: 0.5, defaults: {diversity: 2}}"), "defaults.diversity: must be less than"),
        (
            experiment(HALF, "{name: b, share: 0.5, defaults: {k: 5}}"),
            r"arms\[1\].defaults.k: unknown; .* takes diversity",
        ),
        (
            experiment(HALF, "{name: b, share: 0.5, defaults: {repeats: no}}"),
            "repeats: must be 'hide', 'allow' or 'demote'",
        ),
        (
            experiment(HALF, "{name: b, share: 0.5, defaults: {objectives: {buy: 10000}}}"),
            "objectives.buy: must be a number between -1000 and 1000, got 10000$",
        ),
        (
            experiment(HALF, "{name: b, share: 0.5, defaults: {objectives: {bye: 1}}}"),
            "arm b of e has a weight of 'bye'",
        ),
        ("", "declares no experiment"),
        (
            FILE + "  - name: more\n    arms:\n      - {name: a, share: 0.5}\n      - {name: b, share: 0.5, defaults: "
            "{diversity: 0.1}}\n",
            "diversity and more both set diversity, and a user is in an arm of each",
        ),
        (FILE.replace("weights", "diversity"), "the experiment diversity is declared 2 times"),
    ],
)
def test_a_mistake_is_refused_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "experiments.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read(path, ("view", "buy"))
