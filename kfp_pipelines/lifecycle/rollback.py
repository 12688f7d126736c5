"""The rollback pipeline: the previous release becomes the live one again."""

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines.lifecycle import components


@dsl.pipeline(name="rollback", description="Make the release live again that was live before.")
def rollback(home: str) -> int:
    """Make the release live again that was live before.

    Args:
        home: Folder or s3:// address of the releases.
    """
    task = components.roll_back(home=home).set_caching_options(False)
    live: int = task.output
    return live
