"""Every source and filter of the recommender has words in the explorer."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

from recommender_transformer.funnel import filters, sources
from winnow.explorer.ask.words import WORDS


@pytest.mark.parametrize(("stage", "package"), [("found", sources), ("removed", filters)])
def test_every_component_has_words(stage: str, package: ModuleType) -> None:
    names = {
        component.name
        for module in pkgutil.iter_modules(package.__path__)
        for _, component in inspect.getmembers(
            importlib.import_module(f"{package.__name__}.{module.name}"), inspect.isclass
        )
        if component.__module__.startswith(package.__name__) and isinstance(getattr(component, "name", None), str)
    }
    assert len(names) > 5
    assert {key.partition(":")[2] for key in WORDS if key.startswith(stage)} == names
