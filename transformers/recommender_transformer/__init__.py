"""The transformer: the online funnel, served by KServe.

``recommender`` builds the ``Pipeline`` of a release, ``Runner`` turns requests into ``Query`` objects and runs the
pipeline, ``OnlineStore`` reads the online store and ``TritonModels`` calls the models.
``python -m recommender_transformer`` serves all of it.

The names are imported on first use, so that importing one module of the package does not import the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender_transformer.backends.online_store import OnlineStore
    from recommender_transformer.backends.predictor.triton import TritonModels
    from recommender_transformer.funnel.components import Pipeline
    from recommender_transformer.funnel.query import Query
    from recommender_transformer.funnel.runner import Runner
    from recommender_transformer.pipeline import recommender

__all__ = ["OnlineStore", "Pipeline", "Query", "Runner", "TritonModels", "recommender"]

_MODULES = {
    "OnlineStore": "backends.online_store",
    "Pipeline": "funnel.components",
    "Query": "funnel.query",
    "Runner": "funnel.runner",
    "TritonModels": "backends.predictor.triton",
    "recommender": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
