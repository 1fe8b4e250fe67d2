"""The study's configuration: checked against its schema before any job starts."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from aidocell.errors import InputError

__all__ = ["check_config", "check_value"]


def check_config(given: Mapping[str, Any], schema: str | Path) -> dict:
    """Check a configuration and fill in defaults.

    Parameters
    ----------
    given
        The configuration as read from YAML.
    schema
        ``config.schema.json``; every key with its type, range and default.

    Raises
    ------
    InputError
        ``E_CONFIG``: an unknown key (with the nearest known one), a wrong type, a value out of
        range, or values that contradict each other.
    """
    rules = json.loads(Path(schema).read_text(encoding="utf-8"))
    config = copy.deepcopy(dict(given))
    _drop_empty_sections(config, rules)
    for problem in _problems(config, rules):
        raise problem
    _fill_defaults(config, rules)
    _refuse_contradictions(config)
    return config


def check_value(key: str, value: object, rules: Mapping[str, Any], *, where: str) -> None:
    """Check one value, for instance a threshold from the sample sheet, against its schema."""
    for error in jsonschema.Draft202012Validator(rules).iter_errors(value):
        raise InputError("E_CONFIG", f"{where}: {key} is {value!r}", fix=f"give {_wanted(error)}")


def _problems(config: dict, rules: Mapping[str, Any]) -> Iterator[InputError]:
    validator = jsonschema.Draft202012Validator(rules)
    for error in sorted(validator.iter_errors(config), key=lambda e: list(map(str, e.path))):
        key = ".".join(str(part) for part in error.path)
        if error.validator == "additionalProperties":
            unknown = sorted(
                str(name) for name in error.instance if name not in error.schema["properties"]
            )[0]
            yield _unknown_key(f"{key}.{unknown}".lstrip("."), unknown, error.schema["properties"])
        elif error.validator == "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            yield InputError(
                "E_CONFIG",
                f"the key '{missing}' is missing",
                fix="add it; config/README.md explains it",
            )
        else:
            yield InputError(
                "E_CONFIG", f"'{key}' is {error.instance!r}", fix=f"give {_wanted(error)}"
            )


def _unknown_key(path: str, key: str, known: Mapping[str, Any]) -> InputError:
    near = difflib.get_close_matches(key, known, n=1)
    fix = f"write '{near[0]}'" if near else f"use one of {', '.join(known)}"
    return InputError("E_CONFIG", f"unknown key '{path}'", fix=fix)


def _wanted(error: jsonschema.ValidationError) -> str:
    """Say in words what the schema asks for."""
    value = error.validator_value
    match error.validator:
        case "enum":
            return "one of " + ", ".join(str(item) for item in value)
        case "type":
            names = value if isinstance(value, list) else [value]
            return " or ".join(
                {"null": "nothing", "integer": "a whole number"}.get(n, f"a {n}") for n in names
            )
        case "minimum" | "exclusiveMinimum":
            return f"{'at least' if error.validator == 'minimum' else 'more than'} {value}"
        case "maximum":
            return f"at most {value}"
        case "anyOf":
            return "'auto' or a whole number from 1"
    return f"a value that fits: {error.message}"


def _drop_empty_sections(config: dict, rules: Mapping[str, Any]) -> None:
    """Read a section whose keys are all commented out (YAML's null) as one without keys."""
    for name, rule in rules["properties"].items():
        if rule.get("type") == "object" and config.get(name, {}) is None:
            del config[name]


def _fill_defaults(config: dict, rules: Mapping[str, Any]) -> None:
    for name, rule in rules.get("properties", {}).items():
        if "default" in rule:
            config.setdefault(name, copy.deepcopy(rule["default"]))
        if rule.get("type") == "object":
            _fill_defaults(config[name], rule)


def _refuse_contradictions(config: dict) -> None:
    qc = config["qc"]
    for what in ("genes", "counts"):
        low, high = qc[f"min_{what}"], qc[f"max_{what}"]
        if low is not None and high is not None and low > high:
            raise InputError(
                "E_CONFIG",
                f"qc.min_{what} ({low}) is above qc.max_{what} ({high})",
                fix="swap or drop one",
            )
    if config["embed"]["attention"] == "flash" and config["embed"]["precision"] == "float32":
        raise InputError(
            "E_CONFIG",
            "embed.attention is flash, which has no float32",
            fix="set embed.precision to bfloat16, or embed.attention to sdpa",
        )
