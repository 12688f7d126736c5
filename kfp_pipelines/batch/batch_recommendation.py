"""The batch pipeline: recommendations of many users by the live release, into Parquet files."""

from kfp import dsl, kubernetes

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines.batch import components
from kfp_pipelines.placement import placed

_POOL = {"winnow/pool": "cpu"}

_REDIS = "redis"
"""The secret with the address of Redis, as the chains have it, in the namespace of the pipelines' pods."""


@dsl.pipeline(name="batch-recommendation", description="Recommendations of many users, written to Parquet files.")
def batch_recommendation(
    home: str,
    output: str,
    number: int = 0,
    users: str = "",
    k: int = 50,
    where: str = "",
    workers: int = 3,
    step_cpu: str = "3",
    step_memory: str = "12Gi",
    data_nodes: dict[str, str] = _POOL,
) -> str:
    """Compute the recommendations of many users.

    Args:
        home: Folder or s3:// address of the releases.
        output: Folder or s3:// address that gets a folder per run.
        number: The release, which Redis must hold; 0 for the live one.
        users: File of users, Parquet or CSV with a column user_id or a text file; empty for all.
        k: Items per user.
        where: A condition on the items (docs/filters.md); empty for none.
        workers: Processes, one per CPU that the step's pod requests.
        step_cpu: CPUs that each step's pod requests.
        step_memory: Memory that each step's pod requests and may use.
        data_nodes: Labels of the nodes, as a JSON object.
    """
    place = {"step_cpu": step_cpu, "step_memory": step_memory, "data_nodes": data_nodes}
    chosen = placed(components.choose(home=home, number=number, output=output), place, hours=1)
    chosen.set_caching_options(False)
    release, folder = chosen.outputs["number"], chosen.outputs["folder"]
    computed = components.recommend(
        home=home, number=release, output=folder, users=users, k=k, where=where, workers=workers
    )
    placed(computed, place, hours=24).set_caching_options(False)
    kubernetes.use_secret_as_env(computed, _REDIS, secret_key_to_env={"url": "REDIS_URL"})
    batch: str = computed.output
    return batch
