import copy
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small import ROOT

from aidocell.baselines import METHODS
from aidocell.config import check_config, check_value
from aidocell.embedding import POOLINGS, PRECISIONS
from aidocell.errors import InputError
from aidocell.model.attention import BACKENDS
from aidocell.report.settings import DEFAULT_LIMITS, ReportSettings
from aidocell.tasks.classifier import TRAINABLE

SCHEMA = ROOT / "workflow/schemas/config.schema.json"
RULES = json.loads(SCHEMA.read_text())
LEAST = {"samples": "samples.tsv", "model": "checkpoint"}


def checked(**sections) -> dict:
    return check_config({**LEAST, **sections}, SCHEMA)


def refusal(sections) -> str:
    with pytest.raises(InputError) as refused:
        check_config({**LEAST, **sections}, SCHEMA)
    assert refused.value.id == "E_CONFIG"
    return str(refused.value)


def test_the_config_of_the_repository_is_valid():
    config = check_config(yaml.safe_load((ROOT / "config/config.yaml").read_text()), SCHEMA)
    assert config["embed"]["pooling"] == "mean"
    assert config["embed"]["batch_size"] == "auto"


def test_every_key_has_a_value_where_only_the_required_two_are_given():
    config = checked()
    assert list(config) == list(RULES["properties"])
    assert config["qc"]["min_genes"] == 200
    assert config["report"]["verdict"]["min_cells"] == {"warn": 500, "fail": 100}


def test_the_given_configuration_is_left_as_it_is():
    given = {**LEAST, "qc": None, "embed": {"batch_size": 2.0}}
    before = copy.deepcopy(given)
    check_config(given, SCHEMA)
    assert given == before


def test_order_of_keys_makes_no_difference():
    one = checked(qc={"min_genes": 5, "max_mito": 10}, subset={"cells": 9})
    other = checked(subset={"cells": 9}, qc={"max_mito": 10, "min_genes": 5})
    assert json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize(
    "section", [n for n, r in RULES["properties"].items() if "properties" in r]
)
def test_a_section_without_keys_is_one_that_is_not_there(section):
    assert checked(**yaml.safe_load(f"{section}:")) == checked()


def test_an_empty_section_in_a_section_is_one_that_is_not_there():
    given = yaml.safe_load("report:\n  verdict:\n    min_cells:\n")
    assert checked(**given) == checked()


@pytest.mark.parametrize(
    ("sections", "texts"),
    [
        ({"samplez": 1}, ["unknown key 'samplez'", "write 'samples'"]),
        ({"qc": {"min_gene": 5}}, ["unknown key 'qc.min_gene'", "write 'min_genes'"]),
        ({"report": {"verdict": {"min_cels": {}}}}, ["'report.verdict.min_cels'", "'min_cells'"]),
        ({"xyz": 1}, ["unknown key 'xyz'", "use one of samples, model"]),
        ({7: 1}, ["unknown key '7'"]),
        ({"qc": {"min_genes": "many"}}, ["'qc.min_genes' is 'many'", "a whole number or nothing"]),
        ({"qc": {"min_genes": 1.5}}, ["'qc.min_genes' is 1.5", "a whole number"]),
        ({"qc": {"min_genes": True}}, ["'qc.min_genes' is True", "a whole number"]),
        ({"qc": {"max_mito": 101}}, ["'qc.max_mito' is 101", "at most 100"]),
        ({"qc": {"max_mito": -1}}, ["at least 0"]),
        ({"qc": {"mads": 0}}, ["more than 0"]),
        ({"qc": {"mads": float("nan")}}, ["'qc.mads' is nan", "a number"]),
        ({"qc": {"mads": float("inf")}}, ["'qc.mads' is inf", "a number"]),
        ({"qc": {"max_genes": 10**400}}, ["a whole number"]),
        ({"qc": {"seed": 2**32}}, ["at most 4294967295"]),
        ({"qc": {"doublets": "maybe"}}, ["one of off, score, remove"]),
        ({"qc": {"doublets": True}}, ["one of off, score, remove"]),
        ({"qc": []}, ["'qc' is []", "a section of keys"]),
        ({"qc": "strict"}, ["a section of keys"]),
        ({"model": ""}, ["'model' is ''", "not empty"]),
        ({"model": None}, ["'model' is None", "a text"]),
        ({"accept_model_license": "yes"}, ["true or false"]),
        ({"embed": {"batch_size": 0}}, ["'auto' or a whole number from 1"]),
        ({"embed": {"pooling": "median"}}, ["one of mean, max"]),
        ({"annotate": {"methods": "knn"}}, ["'annotate.methods' is 'knn'", "a list"]),
        ({"annotate": {"methods": []}}, ["at least one"]),
        ({"annotate": {"methods": ["knn", "knn"]}}, ["each only once"]),
        ({"annotate": {"methods": ["forest"]}}, ["'annotate.methods.0' is 'forest'"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_wanted(sections, texts):
    message = refusal(sections)
    for text in texts:
        assert text in message


@pytest.mark.parametrize("key", LEAST)
def test_a_required_key_is_asked_for(key):
    with pytest.raises(InputError, match=f"E_CONFIG.*'{key}' is missing"):
        check_config({k: v for k, v in LEAST.items() if k != key}, SCHEMA)


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        (
            {"qc": {"min_genes": 500, "max_genes": 400}},
            r"min_genes \(500\) is above max_genes \(400\)",
        ),
        ({"qc": {"max_genes": 100}}, r"min_genes \(200\) is above"),
        ({"qc": {"min_counts": 2, "max_counts": 1}}, "min_counts"),
        ({"embed": {"attention": "flash"}}, "flash, which has no float32"),
        ({"report": {"verdict": {"min_cells": {"warn": 10}}}}, "min_cells fails at 100 before"),
        ({"report": {"verdict": {"max_median_mito": {"fail": 5}}}}, "max_median_mito fails at 5"),
    ],
)
def test_values_that_contradict_each_other_are_refused(sections, text):
    with pytest.raises(InputError, match=f"E_CONFIG.*{text}"):
        checked(**sections)


def test_limits_that_meet_or_are_off_contradict_nothing():
    checked(
        qc={"min_genes": 300, "max_genes": 300},
        report={
            "verdict": {"min_cells": {"warn": 7, "fail": 7}, "max_median_mito": {"warn": None}}
        },
        embed={"attention": "flash", "precision": "bfloat16"},
    )


@pytest.mark.parametrize("word", ["off", "no", "false", '"off"'])
def test_doublets_off_may_be_written_without_quotes(word):
    assert checked(**yaml.safe_load(f"qc: {{doublets: {word}}}"))["qc"]["doublets"] == "off"


def test_a_whole_number_written_with_a_point_is_whole():
    config = checked(embed={"batch_size": 4.0}, annotate={"folds": 3.0}, qc={"max_mito": 5.0})
    assert repr(config["embed"]["batch_size"]) == "4"
    assert repr(config["annotate"]["folds"]) == "3"
    assert repr(config["qc"]["max_mito"]) == "5.0"


def test_long_values_are_shortened_in_the_message():
    assert len(refusal({"annotate": {"methods": ["x" * 10_000]}})) < 400


def section(*path):
    rules = RULES
    for name in path:
        rules = rules["properties"][name]
    return rules


def test_the_schema_names_what_the_package_has():
    methods = section("annotate", "methods")
    assert set(methods["items"]["enum"]) == set(METHODS)
    assert section("annotate", "classifier")["enum"] == list(TRAINABLE)
    assert section("embed", "pooling")["enum"] == list(POOLINGS)
    assert section("embed", "precision")["enum"] == list(PRECISIONS)
    assert set(section("embed", "attention")["enum"]) == set(BACKENDS)


def test_the_schema_has_the_defaults_of_the_report():
    limits = {
        name: {"warn": limit.warn, "fail": limit.fail} for name, limit in DEFAULT_LIMITS.items()
    }
    assert checked()["report"]["verdict"] == limits
    assert ReportSettings.from_config(checked()["report"]) == ReportSettings()


def test_a_value_from_elsewhere_is_checked_by_the_same_rules():
    rules = section("qc", "min_genes")
    assert repr(check_value("min_genes", 5.0, rules, where="line 2")) == "5"
    with pytest.raises(InputError, match=r"E_CONFIG.*line 2: min_genes is -1; give at least 0"):
        check_value("min_genes", -1, rules, where="line 2")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def near(rules):
    """Values that fit a part of the schema, and some that do not."""
    if "properties" in rules:
        known = {name: near(rule) for name, rule in rules["properties"].items()}
        return JUNK | st.fixed_dictionaries({}, optional=known)
    return JUNK | st.sampled_from([*rules.get("enum", [0]), rules.get("default"), 1, 0.5])


@settings(max_examples=200, deadline=None)
@given(near(RULES))
def test_no_configuration_does_anything_but_pass_or_be_refused(config):
    if not isinstance(config, dict):
        return
    try:
        done = check_config({**LEAST, **config}, SCHEMA)
    except InputError as error:
        refused = error
    else:
        refused = None
        assert check_config(done, SCHEMA) == done
    assert refused is None or (refused.id == "E_CONFIG" and "\n" not in str(refused))


@pytest.mark.parametrize(
    ("section", "key", "text", "value"),
    [
        ("qc", "min_genes", "151", 151),
        ("qc", "max_mito", "7.5", 7.5),
        ("qc", "mads", "null", None),
        ("input", "round", "true", True),
        ("input", "layer", "7", "7"),
        ("embed", "shard_cells", "20", 20),
        ("embed", "shard_cells", "auto", "auto"),
        ("embed", "pooling", "max", "max"),
        ("annotate", "label", "null", None),
    ],
)
def test_values_of_the_command_line_come_as_text_and_are_read(section, key, text, value):
    assert checked(**{section: {key: text}})[section][key] == value


def test_a_text_that_is_no_such_value_is_still_refused():
    for text in ("many", "", "[1]", "NaN", "1" * 400, "[" * 5000):
        assert "qc.min_genes" in refusal({"qc": {"min_genes": text}})
    assert checked(accept_model_license="true")["accept_model_license"] is True
    assert checked(report={"verdict": {"min_cells": {"fail": "3"}}})
