"""What a run will take, told before it, and beside it what was taken."""

import json
from dataclasses import asdict

import pytest
import yaml
from small import TINY, make_cells

from aidocell.calibrate import measure_rate
from aidocell.configured import read_configured
from aidocell.errors import InputError
from aidocell.forecast import forecast
from aidocell.forecasttext import forecast_lines
from aidocell.model import checkpoint_info
from aidocell.records import write_record

CONFIG = {
    "samples": "samples.tsv",
    "model": str(TINY),
    "qc": {"min_genes": 5},
    "embed": {"cells_per_second": 2, "shard_minutes": 1, "device": "cpu"},
}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with a config and two samples, one of which is missing; nothing has run."""
    monkeypatch.chdir(tmp_path)
    make_cells(300).write_h5ad("a.h5ad")
    (tmp_path / "samples.tsv").write_text("sample\tpath\na\ta.h5ad\nb\tb.h5ad\n")
    configure(tmp_path)
    return tmp_path


def configure(folder, **embed):
    config = {**CONFIG, "embed": {**CONFIG["embed"], **embed}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def test_before_the_run_the_files_tell_and_a_bad_one_is_named(study):
    found = forecast("results", "config.yaml")
    good, bad = found.samples
    assert (good.cells, good.known_from, good.shards, good.seconds) == (300, "in the file", 3, 150)
    assert "E_FILE_MISSING" in bad.problem
    assert bad.cells == 0
    assert found.device == "CPU"
    assert found.disk_bytes < found.peak_bytes < found.free_bytes
    assert found.actual is None
    assert not (study / "results").exists()
    text = "\n".join(forecast_lines(found))
    assert "left out: b: error[E_FILE_MISSING]" in text
    assert "2 cells a second and job (embed.cells_per_second of the config)" in text
    assert "TOO LITTLE" not in text


def test_the_audit_then_the_plan_tell_more_and_finished_shards_how_far_off_it_was(study):
    sample = study / "results/samples/a"
    sample.mkdir(parents=True)
    write_record(sample / "audit.json", {"accepted": True, "cells": 240})
    assert forecast("results", "config.yaml").samples[0].cells == 240
    options = {"pooling": "mean", "precision": "float32", "attention": "sdpa"}
    plan = {
        "run_key": "a" * 64,
        "key": "a" * 12,
        "options": options,
        "cells": 200,
        "planned": {"seconds": 100.0, "cells_per_second": 2.0, "source": "given"},
        "shards": [[0, 120], [120, 200]],
    }
    write_record(sample / "shards.json", plan)
    times = study / "results/benchmarks/embed_shard/a"
    for key, seconds in (("a" * 12, 90.0), ("b" * 12, 999.0)):
        (times / key).mkdir(parents=True)
        (times / key / "0-120.tsv").write_text(f"s\tmax_rss\n{seconds}\t812.4\n")
    found = forecast("results", "config.yaml")
    assert (found.samples[0].cells, found.samples[0].known_from) == (200, "planned")
    assert found.samples[0].shards == 2
    assert found.actual["planned_seconds"] == pytest.approx(60)
    assert found.actual["ratio"] == pytest.approx(1.5)
    assert found.memory["embed_shard"]["source"] == "measured"
    text = "\n".join(forecast_lines(found))
    assert "1 of 2 shards were timed; planned 1 min, taken 2 min: 1.5 times the plan" in text
    assert "cells_per_second: 1.33" in text
    configure(study, pooling="max")  # that plan is for another pooling
    assert forecast("results", "config.yaml").samples[0].known_from == "accepted"


def test_a_refused_sample_is_left_out_by_its_own_error(study):
    sample = study / "results/samples/a"
    sample.mkdir(parents=True)
    error = {"id": "E_NOT_COUNTS", "what": "a.h5ad holds logs\nof counts", "fix": "give counts"}
    write_record(sample / "audit.json", {"accepted": False, "error": error})
    found = forecast("results", "config.yaml")
    assert "E_NOT_COUNTS" in found.samples[0].problem
    assert "\\n" in next(line for line in forecast_lines(found) if "left out: a" in line)


def test_the_whole_forecast_is_there_for_machines(study):
    plain = json.loads(json.dumps(forecast("results", "config.yaml").plain()))
    assert plain["total"]["cells"] == 300
    assert {"device", "rate", "samples", "disk_bytes", "files", "memory", "actual"} <= set(plain)


def test_the_shape_comes_from_the_record_the_folder_or_what_was_released(study):
    configure(study, cells_per_second=None)
    folder = forecast("results", "config.yaml").rate
    (study / "results").mkdir()
    write_record(study / "results/model.json", asdict(checkpoint_info(str(TINY))))
    assert forecast("results", "config.yaml").rate == folder
    config = {**CONFIG, "model": "genbio-ai/AIDO.Cell-3M", "embed": {"precision": "bfloat16"}}
    (study / "config.yaml").write_text(yaml.safe_dump(config))
    released = forecast("elsewhere", "config.yaml")
    assert released.device == "GPU"
    assert released.rate.cells_per_second == pytest.approx(42.3, rel=0.01)
    (study / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "model": "nobody/nothing"}))
    with pytest.raises(InputError, match=r"E_MODEL_MISSING.*check_only"):
        forecast("elsewhere", "config.yaml")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "E_FILE_MISSING.*cannot be read.*--config"),
        ("a: [", "E_CONFIG.*no YAML"),
        ("- 1", "E_CONFIG.*holds no keys"),
        ("model: m", "E_CONFIG.*'samples' is missing"),
        ("model: m\nsamples: nowhere.tsv", "E_SHEET"),
    ],
)
def test_a_wrong_config_is_named(study, text, error):
    if text is None:
        (study / "config.yaml").unlink()
    else:
        (study / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=error):
        forecast("results", "config.yaml")


def test_the_rate_is_measured_with_the_models_own_options(study):
    config, _ = read_configured("config.yaml")
    measured = measure_rate(config, seconds=0)
    assert measured["cells_per_second"] > 0
    assert (measured["device"], measured["precision"], measured["cells"]) == ("cpu", "float32", 1)
