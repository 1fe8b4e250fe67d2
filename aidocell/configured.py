"""A study as its configuration describes it, read outside Snakemake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from aidocell.config import check_config
from aidocell.errors import InputError
from aidocell.study import Sample, locate, read_sheet

__all__ = ["SCHEMA", "WORKFLOW", "read_config", "read_configured", "read_samples", "read_yaml"]

WORKFLOW = Path(__file__).resolve().parents[1]  # the clone that the package lies in
SCHEMA = WORKFLOW / "workflow/schemas/config.schema.json"


def read_configured(path: str | Path) -> tuple[dict[str, Any], dict[str, Sample]]:
    """The checked configuration and the samples of its sheet, paths as the Snakefile takes them.

    Parameters
    ----------
    path
        ``config.yaml``; looked for in the working directory, then in the workflow's folder.

    Raises
    ------
    InputError
        ``E_FILE_MISSING``, ``E_CONFIG``, ``E_SHEET``, ``E_SAMPLE_NAME``; ``E_USAGE``: the package was installed
        without its workflow.
    """
    if not SCHEMA.is_file():
        what = f"the workflow is not there: {SCHEMA} is missing"
        raise InputError("E_USAGE", what, fix="run this in a clone of the repository")
    config = read_config(locate(str(path), WORKFLOW))
    return config, read_samples(config)


def read_config(path: str | Path) -> dict[str, Any]:
    """The checked configuration of a file, its model located as the Snakefile does."""
    config = check_config(read_yaml(path), SCHEMA)
    config["model"] = locate(config["model"], WORKFLOW)
    return config


def read_samples(config: dict[str, Any]) -> dict[str, Sample]:
    """The samples of a checked configuration's sheet, by name."""
    return read_sheet(locate(config["samples"], WORKFLOW), config, SCHEMA, root=WORKFLOW)


def read_yaml(path: str | Path, *, what: str = "the study's config.yaml") -> dict[str, Any]:
    """The keys of a configuration as they stand there; ``E_FILE_MISSING``, ``E_CONFIG``.

    `what` names the file that was meant.
    """
    fix = f"give {what} by --config"
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        what = f"{path} cannot be read ({error.strerror})"
        raise InputError("E_FILE_MISSING", what, fix=fix) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = f"{path} is no YAML ({' '.join(str(error).split())})"
        raise InputError("E_CONFIG", what, fix="mend that line") from error
    if not isinstance(content, dict):
        raise InputError("E_CONFIG", f"{path} holds no keys", fix=fix)
    return content
