"""Settings that a user writes: a small YAML file, validated by a pydantic model whose errors become one sentence."""

import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from winnow.errors import WinnowError
from winnow.fields import FAULT

MAX_BYTES = 64 * 2**10
"""Of a settings file."""

_MOST_PROBLEMS = 5
_LONGEST_VALUE = 40
_DEEPEST = 20
_UNIONS = (Union, UnionType)

_OURS = (
    ("Input should be", "must be"),
    ("String should have", "must have"),
    ("a valid integer", "an integer"),
    ("a valid array", "a list"),
    ("a valid ", "a "),
)
"""Words of pydantic's messages, and the ones in their place."""

_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)

Settings = TypeVar("Settings", bound=BaseModel)


class SettingsError(WinnowError):
    """A settings file is wrong; the message names the file, the field, the value and what is accepted."""

    exit_code = 2


def load(model: type[Settings], path: Path, *, quotes: bool = True) -> Settings:
    """Read a settings file.

    Args:
        model: what the file holds; see :func:`parse`.
        path: a YAML or JSON file.
        quotes: whether messages quote what is wrong.

    Raises:
        SettingsError: the file cannot be read, or :func:`parse` refuses its content.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return parse(model, content.decode(), str(path), quotes=quotes)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def parse(model: type[Settings], text: str, origin: str, *, quotes: bool = True) -> Settings:
    """Validate settings; a field that the text leaves out keeps its default.

    Args:
        model: a pydantic model of sections, each a model of fields.
        text: YAML or JSON; empty for the defaults.
        origin: the file or parameter that the text is from, for messages.
        quotes: whether messages quote what is wrong; not where it may be a secret in a wrong place.

    Raises:
        SettingsError: the text is too long, is not YAML, or has an unknown field, a wrong type or a value out of range.
    """
    if len(text.encode()) > MAX_BYTES:
        raise SettingsError(f"{origin}: has more than {MAX_BYTES:,} bytes, the most that a settings file may have")
    try:
        _check_tokens(text, origin)
        content: Any = yaml.safe_load(text)
        # As JSON, because pydantic's strict mode takes a mapping for a model from JSON alone.
        document = json.dumps({} if content is None else content, default=str)
    except (yaml.YAMLError, ValueError, TypeError) as error:  # the last two are of PyYAML's and json's own conversions
        if not quotes:
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f": line {mark.line + 1}, column {mark.column + 1}"
            raise SettingsError(f"{origin}: is not YAML{where}") from None
        raise SettingsError(f"{origin}: is not YAML: {' '.join(str(error).split())}") from error
    try:
        return model.model_validate_json(document)
    except ValidationError as error:
        problems = [_problem(model, problem, quotes) for problem in error.errors(include_url=False)]
        more = len(problems) - _MOST_PROBLEMS
        counted = [*problems[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        raise SettingsError(f"{origin}: {'; '.join(counted)}") from error


def _check_tokens(text: str, origin: str) -> None:
    """Refuse what would cost more than its size: aliases, which expand without bound, and deep nesting."""
    depth = 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken):
            raise SettingsError(f"{origin}: YAML aliases (*name) are not supported: write the value out")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _DEEPEST:
            raise SettingsError(f"{origin}: nests too deeply: settings are sections of fields")


def changed(settings: BaseModel) -> str:
    """The fields that differ from their defaults, as JSON that :func:`parse` reads; empty where none does."""
    text = settings.model_dump_json(exclude_defaults=True)
    return "" if text == "{}" else text


def _problem(model: type[BaseModel], problem: Any, quotes: bool) -> str:
    """One problem, as ``section.field: must be …, got …``."""
    got = f", got {_shown(problem['input'])}" if quotes else ""
    names, section = _place(model, problem["loc"])
    field = ".".join(names)
    if problem["type"] == "missing":
        return f"{field}: must be given"
    if problem["type"] == "extra_forbidden":
        return f"{field}: unknown" + (f"; {_fields(section, names[:-1])}" if section else "")
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"{field or 'the file'}: must be a mapping of names to values{got}"
    message = problem["msg"].removeprefix("Value error, ")
    for pydantics, ours in _OURS:
        message = message.replace(pydantics, ours)
    if problem["type"] == FAULT:
        message = f"must be {message}"
    if problem["type"] == "value_error":
        return f"{field}: {message}"
    return f"{field}: {message}{got}"


def _place(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The names of a location, and the model that its last name is looked up in, where it is one model."""
    names: list[str] = []
    current: Any = model
    holder: type[BaseModel] | None = None
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            holder, field = current, current.model_fields.get(str(part))
            current = _given(field.annotation) if field else None
        elif get_origin(current) is tuple and names:
            current = get_args(current)[0]
            names[-1] += f"[{part}]"
            continue
        elif get_origin(current) is dict:
            holder, current = None, get_args(current)[1]
        elif current is not None:  # a union of models, whose location has the tag of the one that was tried
            holder = current = None
            continue
        names.append(str(part))
    return names, holder


def _given(annotation: Any) -> Any:
    """The type of a field, without the ``None`` of an optional one: a location does not name it."""
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return kinds[0] if get_origin(annotation) in _UNIONS and len(kinds) == 1 else annotation


def _fields(section: type[BaseModel], names: list[str]) -> str:
    """The fields of a section, in words."""
    return f"{'.'.join(names) or 'the file'} takes {', '.join(section.model_fields)}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
