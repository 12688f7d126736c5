"""The gate's metrics seldom refuse an equal release, and see a worse one."""

from benchmarks.quality.gate_alarms import outcome


def test_an_equal_release_is_seldom_refused_whatever_the_number_of_users() -> None:
    # At most 2.5 % per check that compares with the live release, and there are two: the bound leaves room for chance.
    for users in (60, 500):
        found = outcome(users, loss=0.0, releases=120)
        assert found.refused <= 0.1
        assert found.undecided > 0.5, "so few users cannot show a change of 5 %"


def test_a_worse_release_is_refused() -> None:
    assert outcome(users=500, loss=0.4, releases=40).refused == 1.0
