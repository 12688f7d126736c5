"""The promotion pipeline: a published release becomes the live one."""

from kfp import dsl

# Whole modules: `kfp dsl compile` takes every pipeline and component it finds among a file's own names.
from kfp_pipelines.lifecycle import components


@dsl.pipeline(name="promotion", description="Make a published release the live one.")
def promotion(home: str, number: int) -> int:
    """Make a published release the live one.

    Args:
        home: Folder or s3:// address of the releases.
        number: The release.
    """
    task = components.promote(home=home, number=number).set_caching_options(False)
    live: int = task.output
    return live
