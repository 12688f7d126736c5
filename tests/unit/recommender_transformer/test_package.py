"""The names that the package offers."""

import subprocess
import sys
from importlib import import_module

import pytest

import recommender_transformer


@pytest.mark.parametrize("name", recommender_transformer.__all__)
def test_a_public_name_is_the_one_of_its_module(name: str) -> None:
    public = getattr(recommender_transformer, name)
    assert getattr(import_module(public.__module__), name) is public


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'recommender_transformer' has no attribute 'nothing'"):
        _ = recommender_transformer.nothing


def test_the_package_imports_a_module_on_first_use_only() -> None:
    code = (
        "import sys, recommender_transformer;"
        "assert not {'kserve', 'grpc', 'numpy'} & set(sys.modules);"
        "from recommender_transformer import OnlineStore;"
        "assert not {'kserve', 'grpc'} & set(sys.modules), 'the online store calls no model'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
