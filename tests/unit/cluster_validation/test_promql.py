"""Units and operands of PromQL expressions, and the alerts' tests."""

from collections import Counter

from cluster_validation.metrics import rules
from cluster_validation.metrics.expressions import expressions
from cluster_validation.metrics.promql import watched
from cluster_validation.metrics.units import Units
from tests.support.cluster.manifests import rendered


def test_units_are_derived_through_rates_quotients_and_quantiles():
    units = Units({"queue_us": "microseconds", "asked_total": "", "took_seconds_bucket": "seconds"}, {})
    spent = "sum by (m) (rate(queue_us[1m])) / sum by (m) (rate(asked_total[1m]))"
    assert units.of(spent) == Counter(microseconds=1)
    assert units.of(f"3 * max({spent}) > 5") == Counter(microseconds=1)
    assert units.of("rate(asked_total[1m])") == Counter(seconds=-1)
    assert units.of("histogram_quantile(0.99, sum by (le) (rate(took_seconds_bucket[1m])))") == Counter(seconds=1)
    assert units.of('count(queue_us{m="x"})') == Counter()


def test_the_operands_of_an_alert_are_separated_from_its_thresholds():
    assert watched("a > 14.4 * 0.01 and sum(b) >= on () 2 * c") == ["a", "sum(b)", "2 * c"]
    assert watched("absent(a) or (b unless c)") == ["a", "b", "c"]
    assert watched("rate(a[5m]) / (b > 0) > 3") == ["rate(a[5m]) / (b > 0)"]
    for each in expressions(rendered("gpu")):
        assert all(watched(each.text)), each


def test_every_alert_fires_in_a_rule_test():
    alerts = {each.where for each in expressions(rendered("gpu")) if each.role == "alert"}
    assert alerts
    tests = rules.TESTS.read_text()
    assert {alert for alert in alerts if alert not in tests} == set()
