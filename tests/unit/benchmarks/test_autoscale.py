"""The simulated autoscaler (benchmarks' own code): its arithmetic by hand, the shipped thresholds, and a wrong unit."""

import shutil
from dataclasses import replace
from functools import cache

import pytest

from benchmarks.simulation import autoscale
from benchmarks.simulation.autoscaler import CPU, Autoscaler, Part, by_total, by_utilization, part_of, window_s
from benchmarks.simulation.chain import Pool, Replica, Service, quantile, state
from cluster_validation.manifests.objects import TOOLS, Objects, render
from cluster_validation.metrics.expressions import expressions

needs_kustomize = pytest.mark.skipif(
    not (shutil.which("kubectl") or shutil.which("kustomize") or (TOOLS / "kustomize").exists()),
    reason="neither kustomize nor kubectl is here",
)

PART = Part("transformer", 2, 20, {CPU: 0.5, "t": 4.0}, settle_up_s=0, settle_down_s=60, cores=1.0)


@cache
def manifests() -> Objects:
    return render(autoscale.OVERLAY)


# By hand, after kube-controller-manager's replica_calculator.go and horizontal.go.


@pytest.mark.parametrize(
    ("total", "replicas", "wanted"),
    [
        (8.0, 2, 2),
        (8.7, 2, 2),  # 9 % above: tolerated
        (8.9, 2, 3),
        (40.0, 2, 10),  # the total decides, whatever the number of replicas
        (40.0, 20, 10),
        (36.5, 10, 10),  # 9 % below: tolerated
        (35.0, 10, 9),
    ],
)
def test_a_total_is_divided_by_the_target_unless_it_is_near(total, replicas, wanted):
    assert by_total(total, 4.0, replicas) == wanted


@pytest.mark.parametrize(
    ("used", "ready", "replicas", "wanted"),
    [
        (0.8, 4, 4, 7),  # ceil(4 * 1.6)
        (0.54, 4, 4, 4),
        (0.8, 4, 5, 7),  # a starting pod counts as idle: ceil(5 * 1.6 * 4 / 5)
        (0.8, 4, 6, 6),  # with two starting pods the ratio is within the tolerance
        (0.8, 4, 8, 8),  # with four the direction would change, so nothing happens
        (0.2, 4, 4, 2),
        (0.2, 4, 6, 2),
    ],
)
def test_starting_pods_count_as_idle_for_cpu(used, ready, replicas, wanted):
    assert by_utilization(used, 0.5, ready, replicas) == wanted


def test_the_largest_recommendation_counts_within_the_limits():
    assert Autoscaler(PART).decide(0, {CPU: 0.5, "t": 20.0}, 4, 4) == 5
    assert Autoscaler(PART).decide(0, {CPU: 1.0, "t": 16.0}, 4, 4) == 8
    assert Autoscaler(PART).decide(0, {CPU: 0.5, "t": 4000.0}, 16, 16) == 20
    assert Autoscaler(PART).decide(0, {CPU: None, "t": None}, 4, 4) == 4


def test_it_grows_by_four_or_twice_a_round():
    assert Autoscaler(PART).decide(0, {CPU: None, "t": 4000.0}, 2, 2) == 6
    assert Autoscaler(PART).decide(0, {CPU: None, "t": 4000.0}, 6, 6) == 12


def test_it_grows_at_once_and_shrinks_to_the_largest_recommendation_of_the_window():
    scaler = Autoscaler(PART)
    assert scaler.decide(0, {CPU: None, "t": 40.0}, 8, 8) == 10
    assert scaler.decide(15, {CPU: None, "t": 12.0}, 10, 10) == 10
    assert scaler.decide(45, {CPU: None, "t": 24.0}, 10, 10) == 10
    assert scaler.decide(60, {CPU: None, "t": 8.0}, 10, 10) == 6
    assert scaler.decide(105, {CPU: None, "t": 4.0}, 6, 6) == 2


def test_slow_growth_waits_for_the_smallest_recommendation():
    scaler = Autoscaler(replace(PART, settle_up_s=30))
    assert scaler.decide(0, {CPU: None, "t": 40.0}, 4, 4) == 4
    assert scaler.decide(15, {CPU: None, "t": 40.0}, 4, 4) == 4
    assert scaler.decide(30, {CPU: None, "t": 40.0}, 4, 4) == 8


def test_pods_fill_nodes_before_they_wait_for_new_ones_and_empty_nodes_stay_a_while():
    pool = Pool(Replica(1.0, 1.0, pod_s=5, node_s=60, per_node=2, keep_s=30, price=1.0), 3)
    pool.scale(0, 5)
    assert [pool.ready(at) for at in (0, 4, 5, 64, 65)] == [3, 3, 4, 4, 5]
    pool.scale(100, 2)
    assert pool.ready(100) == 2
    seen = []
    for now in (100, 115, 130):
        pool.tick(now)
        seen.append(pool.nodes)
    assert seen == [3, 3, 1]


# The model.

KINDS = {
    name: Replica(capacity, 1.0, 1, 1, 1, 1, 1.0) for name, capacity in (("transformer", 100.0), ("predictor", 1e9))
}
SERVICE = Service(tail=4.605, limit=8, burst=24, objective_s=0.1)


def test_the_model_is_a_queue_that_shares_a_processor():
    half = state(50.0, {"transformer": 1, "predictor": 1}, KINDS, SERVICE)
    assert half.mean_s == pytest.approx(0.02, rel=1e-4)  # 10 ms of work at half speed
    assert half.refused < 1e-6
    twice = state(200.0, {"transformer": 1, "predictor": 1}, KINDS, SERVICE)
    assert twice.refused == pytest.approx(0.5, abs=0.01)
    assert twice.mean_s <= 8 * 0.01 * 1.01  # never more than eight at a time
    assert state(100.0, {"transformer": 1, "predictor": 1}, KINDS, SERVICE).refused == pytest.approx(1 / 9)


def test_requests_beyond_tritons_capacity_are_not_ranked():
    kinds = {**KINDS, "predictor": replace(KINDS["predictor"], capacity=25.0)}
    assert state(50.0, {"transformer": 1, "predictor": 1}, kinds, SERVICE).plain == pytest.approx(1 - 0.95 / 2)
    assert state(50.0, {"transformer": 1, "predictor": 4}, kinds, SERVICE).plain == 0


def test_p99_of_a_mix_lies_between_its_parts():
    assert quantile([(1.0, 0.05), (3.0, 0.05)]) == pytest.approx(0.05, rel=1e-4)
    assert 0.05 < quantile([(1.0, 0.05), (1.0, 0.1)]) < 0.1


# The manifests.


@needs_kustomize
def test_the_simulation_reads_the_manifests():
    parts = autoscale.shipped(manifests())
    written = {
        (each.part, each.text.partition("{")[0]): float(each.threshold)
        for each in expressions(manifests())
        if each.role == "trigger"
    }
    read = {(name, trigger): at for name, part in parts.items() for trigger, at in part.targets.items()}
    assert {key: at for key, at in read.items() if key[1] != CPU} == written
    assert {name for name, trigger in read if trigger == CPU} == set(parts)
    assert parts["transformer"].cores == 1.25
    assert parts["transformer"].settle_down_s == 600
    assert window_s(manifests(), "winnow:request_seconds:p99_times_replicas") == 120
    with pytest.raises(LookupError, match="no-such-chain"):
        part_of(manifests(), "no-such-chain", "transformer")


@needs_kustomize
def test_the_shipped_thresholds_hold_the_objective_in_a_spike():
    parts = autoscale.shipped(manifests())
    came = autoscale.spike(manifests(), parts)
    assert 0 < came.settled_s <= autoscale.scale_up_s(manifests(), parts)
    assert came.p99_s <= autoscale.OBJECTIVE_S
    assert came.missed <= 1 - autoscale.OBJECTIVE


@needs_kustomize
def test_the_shipped_thresholds_hold_the_objective_over_a_day_at_low_cost():
    passed = autoscale.day(manifests(), autoscale.shipped(manifests()))
    assert passed.load < passed.cost <= 0.6
    assert passed.late <= 0.001
    assert passed.missed <= 1 - autoscale.OBJECTIVE


TRIGGERS = [
    ("transformer", CPU),
    ("transformer", "winnow:request_seconds:p99_times_replicas"),
    ("transformer", "winnow:requests_wanted:total"),
    ("predictor", CPU),
    ("predictor", "winnow:triton_queue_us:mean_times_replicas"),
    ("predictor", "winnow:triton_work_us:total"),
]


@needs_kustomize
def test_every_trigger_is_tried_in_a_wrong_unit():
    assert {
        (name, trigger) for name, part in autoscale.shipped(manifests()).items() for trigger in part.targets
    } == set(TRIGGERS)


@needs_kustomize
@pytest.mark.parametrize(("part", "trigger"), TRIGGERS)
def test_a_threshold_that_is_too_large_by_a_unit_never_grows(part, trigger):
    only = autoscale.alone(autoscale.shipped(manifests()), part, trigger)
    wrong = autoscale.spike(manifests(), autoscale.off(only, part, trigger, 1000))
    assert wrong.missed > 1 - autoscale.OBJECTIVE
    assert wrong.settled_s == autoscale.SPIKE_S


@needs_kustomize
@pytest.mark.parametrize(("part", "trigger"), TRIGGERS)
def test_a_threshold_that_is_too_small_by_a_unit_never_shrinks(part, trigger):
    parts = autoscale.shipped(manifests())
    assert autoscale.resting(manifests(), parts)[part] == parts[part].least
    assert autoscale.resting(manifests(), autoscale.off(parts, part, trigger, 0.001))[part] == parts[part].most
