"""What the documents say is what the code has."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from aidocell.cli import app
from aidocell.config import check_config
from aidocell.errors import CATALOGUE

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
SHEET = json.loads((ROOT / "workflow/schemas/samples.schema.json").read_text())
DOCUMENTS = sorted([*ROOT.glob("*.md"), ROOT / "config/README.md", *ROOT.glob("docs/*.md")])
CONFIG_README = (ROOT / "config/README.md").read_text()
ERRORS = (ROOT / "docs/errors.md").read_text()
ROW = re.compile(r"^\| `([a-z_.0-9]+)` \| (.+?) \|", re.MULTILINE)


def leaves(schema: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every key of a schema that is not a section, by its dotted path."""
    for name, rule in schema["properties"].items():
        if rule.get("type") == "object":
            yield from leaves(rule, f"{path}{name}.")
        else:
            yield f"{path}{name}", rule


def written(value: object) -> str:
    """A default as the tables show it."""
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def commands(group=None, name: str = "aidocell") -> dict[str, set[str]]:
    """Every command of the command line with its options."""
    group = group or typer.main.get_command(app)
    found = {}
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, f"{name} {word}")
        else:
            options = itertools.chain(*(parameter.opts for parameter in command.params))
            found[f"{name} {word}"] = {option for option in options if option.startswith("--")}
    return found


def section(text: str, heading: str) -> str:
    """The text under a heading, up to the next one of the same or a higher level."""
    level = heading.split()[0]
    rest = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def slug(heading: str) -> str:
    """The anchor that a heading gets on GitHub."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def shell_lines(text: str) -> list[list[str]]:
    """Words of every line that calls aidocell, in blocks of shell commands."""
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if "aidocell " in line]
    return [w for w in words if w and Path(w[0]).name == "aidocell"]


@pytest.mark.parametrize(("key", "rule"), list(leaves(SCHEMA)))
def test_every_key_of_the_config_is_explained_with_its_default(key, rule):
    rows = dict(ROW.findall(CONFIG_README))
    assert rows[key] == (written(rule["default"]) if "default" in rule else "required")


def test_no_key_is_explained_that_the_config_does_not_have():
    sections = "|".join(n for n, r in SCHEMA["properties"].items() if r.get("type") == "object")
    dotted = {
        key
        for path in DOCUMENTS
        for key in re.findall(rf"`((?:{sections})\.(?!parquet)[a-z_.0-9]+)`", path.read_text())
    }
    known = {key for key, _ in leaves(SCHEMA)}
    prefixes = {key.rsplit(".", n)[0] for key in known for n in (1, 2)}
    assert dotted <= known | prefixes


def test_every_column_of_the_sheet_and_every_threshold_is_explained():
    text = section(CONFIG_README, "## samples.tsv")
    for column in [*SHEET["properties"], *SCHEMA["properties"]["qc"]["properties"]]:
        assert f"`{column}`" in text


def test_the_example_configs_are_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", CONFIG_README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        check_config(yaml.safe_load(block), ROOT / "workflow/schemas/config.schema.json")


def test_what_the_demo_sets_apart_from_the_defaults_is_told():
    given = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    told = section(CONFIG_README, "## From the demo to your study")
    for key, rule in leaves(SCHEMA):
        value = given
        for word in key.split("."):
            value = value.get(word, {}) if isinstance(value, dict) else value
        if value != {} and "default" in rule and value != rule["default"]:
            assert f"`{key.removesuffix('.warn').removesuffix('.fail')}`" in told, key


def test_every_error_has_a_section_with_its_line_and_no_other_has():
    headings = re.findall(r"^### (\w+)$", ERRORS, flags=re.MULTILINE)
    assert sorted(headings) == sorted(CATALOGUE)
    for id in CATALOGUE:
        lines = re.findall(r"^error\[(\w+)\]: .+; .+$", section(ERRORS, f"### {id}"), re.MULTILINE)
        assert set(lines) <= {id}
        assert lines


@pytest.mark.parametrize(("command", "options"), list(commands().items()))
def test_every_command_and_its_options_are_explained(command, options):
    guide = (ROOT / "docs/command-line.md").read_text()
    text = section(guide, f"## {command}")
    for heading in ("INPUT options", "Model options"):
        if f"[{heading}](#{slug(heading)})" in text:
            text += section(guide, f"## {heading}")
    told = set(re.findall(r"^\| `(--[a-z-]+)", text, flags=re.MULTILINE))
    assert told == options - {"--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_documents_have_only_options_that_exist(path):
    known = commands()
    for words in shell_lines(path.read_text()):
        name = next(
            n for n in (" ".join(["aidocell", *words[1:3]]), f"aidocell {words[1]}") if n in known
        )
        assert {w.split("=")[0] for w in words if w.startswith("--")} <= known[name] | {"--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), flags=re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def test_every_column_of_the_qc_table_is_explained():
    from aidocell.counts.qc import COLUMNS  # imports scanpy

    text = section((ROOT / "docs/user-guide.md").read_text(), "### qc.parquet")
    assert all(f"`{column}`" in text for column in COLUMNS)


def test_every_file_of_the_workflow_is_in_the_table_of_outputs():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    outputs = set(re.findall(r'"results/([^"]+)"', rules))
    text = section((ROOT / "docs/user-guide.md").read_text(), "## What each output file is")
    for name in outputs:
        if not name.startswith(("logs/", "benchmarks/")):
            shown = Path(name).name.replace("{rows}", "<start>-<stop>")
            assert shown in text, name
