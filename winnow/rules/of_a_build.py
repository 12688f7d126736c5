"""The rules of a build, checked against its data set before anything is trained."""

from dataclasses import dataclass

from winnow.datasets.canonical.dataset import Dataset
from winnow.features.catalog_columns import column_kinds
from winnow.items.column import Kind
from winnow.rules.compiled import CompiledRules
from winnow.settings.file import changed


@dataclass(frozen=True)
class _Columns:
    """The columns that the release will have.

    Attributes:
        kinds: column -> kind of its values.
    """

    kinds: dict[str, Kind]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.kinds)


def checked_rules(text: str, dataset: Dataset) -> str:
    """The rules as JSON, which the release will have; empty for none.

    Args:
        text: the rules as YAML or JSON.
        dataset: the data set of the build.

    Raises:
        SettingsError: the rules are wrong, or their filters do not suit the columns.
    """
    columns = _Columns(column_kinds(dataset.items, dataset.spec.items))
    return changed(CompiledRules.read(text, columns, "rules").rules)
