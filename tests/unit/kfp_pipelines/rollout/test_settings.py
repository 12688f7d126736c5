"""Wrong settings of a rollout are refused, by field."""

import pytest

from kfp_pipelines.rollout.settings import RolloutSettings
from winnow.settings.file import SettingsError, parse


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: [5, 12, 100]", "steps[1]: must be a multiple of 5, got 12"),
        ("steps: [25, 5, 100]", "steps must ascend to 100"),
        ("steps: [5, 50]", "steps must ascend to 100"),
        ("interval_s: 0.2", "interval_s: must be greater than or equal to 1, got 0.2"),
        ("failure: 0.1", "failure: unknown"),
    ],
)
def test_a_wrong_setting_is_named(text, message):
    with pytest.raises(SettingsError, match=message.replace("[", r"\[")):
        parse(RolloutSettings, text, "rollout.yaml")


def test_steps_are_read_from_yaml():
    assert parse(RolloutSettings, "{steps: [10, 100], slower: 1.5}", "rollout.yaml").steps == (10, 100)
