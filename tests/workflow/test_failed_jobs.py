"""The table of failed jobs at the end of a run by the real Snakemake."""

import json

import pytest

from aidocell.cli import app

pytestmark = pytest.mark.workflow


def test_a_run_ends_with_one_table_of_its_failed_jobs(study, capsys):
    study.configure(embed={"attention": "flash", "precision": "bfloat16"}, annotate={})
    study.add_sample("a")
    study.list_samples("a\ta.h5ad")
    old = study.results / "logs/embed_shard/old.log"
    old.parent.mkdir(parents=True)
    old.write_text("2026-01-01 00:00:00 ERROR error[E_DISK_FULL]: of an earlier run; free some\n")
    done = study.snakemake("embeddings_only", check=False)
    assert done.returncode == 1
    head, *table = done.stderr[done.stderr.index("failed jobs: ") :].splitlines()
    assert head == "failed jobs: 1"
    assert table[1].startswith("embed_shard a 0-40  E_USAGE  error[E_USAGE]: attention backend")
    assert table[1].endswith("0-40.log")
    app(["status", str(study.results), "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert [job["error"] for job in found["jobs"]["failed"]] == ["E_USAGE"]
    assert found["stages"]["align"]["finished"] == 1
    assert found["cells"] == {
        "planned": 40,
        "embedded": 0,
        "per_second": 0,
        "seconds_left": None,
    }
