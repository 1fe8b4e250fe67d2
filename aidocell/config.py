"""The study's configuration: checked against its schema before any job starts."""

from __future__ import annotations

import copy
import difflib
import json
import reprlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from aidocell.errors import InputError

__all__ = ["check_config", "check_keys", "check_value", "refuse_contradictions"]


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
    config = check_keys(given, json.loads(Path(schema).read_text(encoding="utf-8")))
    refuse_contradictions(config["qc"], where="qc")
    _refuse_impossible_flash(config["embed"])
    _refuse_crossed_limits(config["report"]["verdict"])
    return config


def check_keys(given: Mapping[str, Any], rules: Mapping[str, Any]) -> dict:
    """Check keys against a JSON schema and fill in its defaults; errors as :func:`check_config`."""
    config = copy.deepcopy(dict(given))
    _mend_yaml(config, rules)
    for problem in _problems(config, rules):
        raise problem
    return _completed(config, rules)


def check_value(key: str, value: object, rules: Mapping[str, Any], *, where: str) -> Any:
    """Check one value, for instance a threshold from the sample sheet; 5.0 comes back as 5."""
    for error in _Validator(rules).iter_errors(value):
        raise InputError(
            "E_CONFIG", f"{where}: {key} is {_shown(value)}", fix=f"give {_wanted(error)}"
        )
    return _whole(value, rules)


def refuse_contradictions(qc: Mapping[str, Any], *, where: str) -> None:
    """Raise ``E_CONFIG`` where a lower threshold is above the upper one; `where` names the set."""
    for what in ("genes", "counts"):
        low, high = qc[f"min_{what}"], qc[f"max_{what}"]
        if low is not None and high is not None and low > high:
            raise InputError(
                "E_CONFIG",
                f"{where}: min_{what} ({low}) is above max_{what} ({high})",
                fix="swap or drop one",
            )


def _is_number(_: object, value: object) -> bool:
    """Whether a value is a number to calculate with; NaN and infinity, which YAML has, are not."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) <= sys.float_info.max


def _is_integer(_: object, value: object) -> bool:
    return _is_number(_, value) and value == int(value)


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


def _problems(config: dict, rules: Mapping[str, Any]) -> Iterator[InputError]:
    for error in sorted(
        _Validator(rules).iter_errors(config), key=lambda e: list(map(str, e.path))
    ):
        key = ".".join(str(part) for part in error.path)
        if error.validator == "additionalProperties":
            known = error.schema["properties"]
            unknown = sorted(str(name) for name in error.instance if name not in known)[0]
            yield _unknown_key(f"{key}.{unknown}".lstrip("."), unknown, known)
        elif error.validator == "required":
            missing = next(name for name in error.validator_value if name not in error.instance)
            yield InputError(
                "E_CONFIG",
                f"the key '{missing}' is missing",
                fix="add it; config/README.md explains it",
            )
        else:
            yield InputError(
                "E_CONFIG", f"'{key}' is {_shown(error.instance)}", fix=f"give {_wanted(error)}"
            )


def _unknown_key(path: str, key: str, known: Mapping[str, Any]) -> InputError:
    near = difflib.get_close_matches(key, known, n=1)
    fix = f"write '{near[0]}'" if near else f"use one of {', '.join(known)}"
    return InputError("E_CONFIG", f"unknown key '{path}'", fix=fix)


def _shown(value: object) -> str:
    return reprlib.repr(value)


def _wanted(error: jsonschema.ValidationError) -> str:
    """Say in words what the schema asks for."""
    value = error.validator_value
    match error.validator:
        case "enum":
            return "one of " + ", ".join(str(item) for item in value)
        case "type":
            return " or ".join(
                _in_words(n) for n in (value if isinstance(value, list) else [value])
            )
        case "minimum" | "exclusiveMinimum":
            return f"{'at least' if error.validator == 'minimum' else 'more than'} {value}"
        case "maximum":
            return f"at most {value}"
        case "anyOf":
            return "'auto' or a whole number from 1"
        case "minLength" | "minItems":
            return "at least one" if error.validator == "minItems" else "a text that is not empty"
        case "uniqueItems":
            return "each only once"
    return f"a value that fits: {error.message}"


def _in_words(kind: str) -> str:
    words = {
        "null": "nothing",
        "integer": "a whole number",
        "string": "a text",
        "boolean": "true or false",
        "array": "a list",
        "object": "a section of keys",
    }
    return words.get(kind, f"a {kind}")


def _mend_yaml(config: dict, rules: Mapping[str, Any]) -> None:
    """Read what YAML and Snakemake make of an innocent configuration as it was meant.

    A section whose keys are all commented out is null, an unquoted ``off`` is false, and
    ``--config`` hands on numbers, ``true`` and ``null`` as text.
    """
    for name, rule in rules["properties"].items():
        if rule.get("type") == "object":
            if config.get(name, {}) is None:
                del config[name]
            elif isinstance(config.get(name), dict):
                _mend_yaml(config[name], rule)
        elif "off" in rule.get("enum", ()) and config.get(name) is False:
            config[name] = "off"
        elif isinstance(config.get(name), str):
            config[name] = _unquoted(config[name], rule)


def _unquoted(text: str, rule: Mapping[str, Any]) -> Any:
    """What a text stands for where the schema asks for something else than a text."""
    kinds = _kinds(rule)
    if "null" in kinds and text == "null":
        return None
    if "string" in kinds or not kinds:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _kinds(rule: Mapping[str, Any]) -> set[str]:
    """Types that the schema allows; none for a list of words."""
    given = [part.get("type", []) for part in (rule, *rule.get("anyOf", ()))]
    return {kind for kinds in given for kind in ([kinds] if isinstance(kinds, str) else kinds)}


def _completed(given: Mapping[str, Any], rules: Mapping[str, Any]) -> dict:
    """All keys, in the order of the schema, so that their order in the file reruns nothing."""
    return {
        name: _completed(given.get(name, {}), rule)
        if rule.get("type") == "object"
        else _whole(given.get(name, rule.get("default")), rule)
        for name, rule in rules["properties"].items()
    }


def _whole(value: Any, rules: Mapping[str, Any]) -> Any:
    """Make a whole number of one written like 5.0, where the schema asks for one."""
    return int(value) if isinstance(value, float) and "integer" in _kinds(rules) else value


def _refuse_impossible_flash(embed: Mapping[str, Any]) -> None:
    if embed["attention"] == "flash" and embed["precision"] == "float32":
        raise InputError(
            "E_CONFIG",
            "embed.attention is flash, which has no float32",
            fix="set embed.precision to bfloat16, or embed.attention to sdpa",
        )


def _refuse_crossed_limits(verdict: Mapping[str, Mapping[str, float | None]]) -> None:
    """Refuse a limit that fails a sample before it warns of it."""
    for name, limit in verdict.items():
        warn, fail = limit["warn"], limit["fail"]
        if warn is None or fail is None:
            continue
        if fail > warn if name.startswith("min_") else fail < warn:
            raise InputError(
                "E_CONFIG",
                f"report.verdict.{name} fails at {fail} before it warns at {warn}",
                fix="swap them, or set one to null",
            )
