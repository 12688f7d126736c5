"""Terraform accepts what `winnow plan` writes for it."""

import json
from pathlib import Path

from winnow.planning import capacity, overrides, prices, units
from winnow.planning.workload import Workload


def test_the_planned_store_has_the_written_nodes(whole, tmp_path: Path) -> None:
    known = units.load()
    made = capacity.plan(Workload(users=50_000_000, items=1_000_000, rps=5000, events=5000), known, prices.load())
    overrides.write(made, known, tmp_path)
    assert overrides.TFVARS.name.endswith(".auto.tfvars.json")
    assert set(json.loads((tmp_path / overrides.TFVARS).read_text())) == {"redis"}
    planned = whole.plan(f"-var-file={tmp_path / overrides.TFVARS}")
    group = planned['aws_elasticache_replication_group.this["online"]']
    assert (group["node_type"], group["num_node_groups"], group["replicas_per_node_group"]) == (
        made.store.node_type,
        made.store.shards,
        made.store.replicas,
    )
    assert made.store.shards > 2
