"""The transformer: the online funnel, served by KServe.

``recommender`` builds the :class:`Pipeline` of a release, :class:`Runner` runs it, :class:`OnlineStore` reads its
online store and :class:`TritonModels` calls its models. ``python -m recommender_transformer`` serves all of it.

The names are imported on first use, so that importing one module of the package does not import the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender_transformer.backends.online_store import OnlineStore
    from recommender_transformer.backends.triton import TritonModels
    from recommender_transformer.funnel.components import Pipeline
    from recommender_transformer.funnel.runner import Runner
    from recommender_transformer.pipeline import recommender

__all__ = ["OnlineStore", "Pipeline", "Runner", "TritonModels", "recommender"]

_MODULES = {
    "OnlineStore": "backends.online_store",
    "Pipeline": "funnel.components",
    "Runner": "funnel.runner",
    "TritonModels": "backends.triton",
    "recommender": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
