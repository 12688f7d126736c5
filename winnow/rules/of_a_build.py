"""The rules of a build, checked against its data set before anything is trained."""

from winnow.datasets.canonical.dataset import Dataset
from winnow.features.catalog_columns import column_kinds
from winnow.rules.compiled import CompiledRules
from winnow.settings.file import changed


def checked_rules(text: str, dataset: Dataset) -> str:
    """The rules as JSON, which the release will have; empty for none.

    Args:
        text: the rules as YAML or JSON.
        dataset: the data set of the build.

    Raises:
        SettingsError: the rules are wrong, or their filters do not suit the columns.
    """
    compiled = CompiledRules.read(text, column_kinds(dataset.items, dataset.spec.items), "rules.yaml")
    return changed(compiled.rules)
