"""Types of the fields of a file of rules, such as ``gate.yaml`` and ``trigger.yaml``."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _number(value: object) -> object:
    """YAML 1.1 reads ``1e-3``, without a point, as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section of a file of rules: no other fields, no conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
