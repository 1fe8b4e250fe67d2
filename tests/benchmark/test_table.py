"""Published, regenerated and unavailable stand side by side and are never mixed."""

import json

import numpy as np
import pandas as pd
import pytest

from aidocell.benchmark.config import Run
from aidocell.benchmark.outcomes import Calls, Outcome
from aidocell.benchmark.remarks import verdict
from aidocell.benchmark.table import COLUMNS, benchmark_table, plain
from aidocell.evaluate.metrics import mean_metrics
from aidocell.report.benchmark import render_benchmark

CELLS = np.array([f"c{i}" for i in range(40)], dtype=object)
TRUE = np.array(["a", "b"] * 20, dtype=object)
FULL = Run("finetune-AIDO.Cell-100M", "finetune", "genbio-ai/AIDO.Cell-100M")


def ran(run, *, wrong, seeds=(1, 2), **changes):
    """A method that calls the first `wrong` cells wrong with the first seed, one less with the next."""
    found = np.repeat(TRUE[:, None], len(seeds), axis=1)
    for column in range(len(seeds)):
        calls = found[: wrong - column, column]
        calls[:] = np.where(calls == "a", "b", "a")
    record = {
        "status": "regenerated",
        "reason": "",
        "seconds": 60.0,
        "embedding_seconds": 0.0,
        "gpus": 0,
        "device": "CPU",
        "notes": [],
        **changes,
    }
    figures = mean_metrics(TRUE, found, seed=0, draws=100)
    records = [{**record, "seed": seed} for seed in seeds]
    return Outcome(run, records, Calls(CELLS, TRUE, found), figures)


def missing(run, reason, seeds=(1, 2)):
    records = [{"status": "unavailable", "reason": reason, "seed": seed} for seed in seeds]
    return Outcome(run, records, None, pd.DataFrame({"metric": [], "value": []}))


def table(*outcomes, **options):
    given = {"task": "classification", "dataset": "Zheng68K", **options}
    return benchmark_table(outcomes, **given)


def row(found, method, metric="macro_f1"):
    rows = found[(found["method"] == method) & (found["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_a_difference_is_published_minus_regenerated_with_the_interval_turned_round():
    outcome = ran(Run("celltypist", "celltypist"), wrong=8)
    found = row(table(outcome), "celltypist")
    own = outcome.figures.set_index("metric").loc["macro_f1"]
    assert (found["published"], found["regenerated"]) == (0.725, own["value"])
    assert found["difference"] == 0.725 - own["value"]
    assert found["difference_low"] == 0.725 - own["high"]
    assert found["difference_high"] == 0.725 - own["low"]
    assert found["spread"] == own["spread"] > 0
    assert (found["status"], found["seeds"]) == ("regenerated", "1, 2")
    assert found["source"].startswith("AIDO.Cell model card")


def test_what_did_not_run_keeps_its_published_figure_and_gets_no_other():
    found = row(table(missing(Run("scanvi", "scanvi"), "no package")), "scanvi")
    assert (found["published"], found["status"]) == (0.395, "unavailable")
    assert found["reason"] == "no package"
    assert found[["regenerated", "low", "high", "difference", "run_seconds"]].isna().all()


def test_methods_that_nothing_here_runs_are_published_only_with_the_reason():
    found = table(ran(Run("majority", "majority"), wrong=20))
    for name in ("scFoundation-100M", "scBERT"):
        assert row(found, name)["status"] == "published only"
        assert "cannot be had" in row(found, name)["reason"]
    assert row(found, "CellTypist")["reason"] == "config/benchmark.yaml leaves it out"
    assert found.loc[found["status"] == "published only", "regenerated"].isna().all()


def test_the_published_row_of_a_checkpoint_is_that_checkpoints_alone():
    small = Run("finetune-AIDO.Cell-3M", "finetune", "genbio-ai/AIDO.Cell-3M")
    found = table(ran(small, wrong=4))
    assert row(found, "AIDO.Cell-100M")["status"] == "published only"
    assert "not among the models" in row(found, "AIDO.Cell-100M")["reason"]
    assert np.isnan(row(found, small.name)["published"])
    both = table(ran(small, wrong=4), ran(FULL, wrong=2))
    assert row(both, FULL.name)["published"] == 0.761
    assert "AIDO.Cell-100M" not in set(both["method"])


def test_the_recipe_is_called_the_frameworks_example_or_an_altered_one():
    assert "example recipe" in row(table(ran(FULL, wrong=2)), FULL.name)["note"]
    altered = row(table(ran(FULL, wrong=2), example_recipe=False), FULL.name)["note"]
    assert altered.startswith("not by the framework's example recipe")


def test_published_rows_come_in_the_published_order_and_all_columns_are_there():
    runs = [ran(Run(name, name), wrong=3) for name in ("majority", "actinn", "celltypist")]
    found = table(*runs)
    assert list(found.columns) == COLUMNS
    order = [
        *("AIDO.Cell-100M", "scFoundation-100M", "scBERT", "celltypist", "scANVI", "actinn"),
        *("Scanpy", "SingleCellNet", "majority"),
    ]
    assert list(dict.fromkeys(found["method"])) == order


def test_seeds_that_did_not_run_are_named():
    whole = ran(Run("mlp-x", "mlp", "a/x"), wrong=3, seeds=(1,))
    lost = {"status": "unavailable", "reason": "one cell does not fit", "seed": 2}
    outcome = Outcome(whole.run, [*whole.records, lost], whole.calls, whole.figures)
    found = row(table(outcome), "mlp-x")
    assert (found["status"], found["seeds"]) == ("regenerated", "1")
    assert found["reason"] == "without seeds 2: one cell does not fit"
    assert np.isnan(found["spread"])


def test_time_and_cost_count_an_embedding_once_and_gpus_by_their_number():
    embedded = ran(
        Run("knn-x", "knn", "a/x"), wrong=3, embedding_seconds=3600.0, gpus=1, device="H"
    )
    found = row(table(embedded, price=2.5), "knn-x")
    assert found["run_seconds"] == 3600 + 2 * 60
    assert (found["gpu_hours"], found["cost"]) == (1.0, 2.5)
    tuned = row(table(ran(FULL, wrong=3, gpus=4, device="H"), price=3), FULL.name)
    assert tuned["gpu_hours"] == pytest.approx(2 * 60 * 4 / 3600)
    assert tuned["cost"] == pytest.approx(3 * 2 * 60 * 4 / 3600)
    plain_cpu = row(table(ran(Run("actinn", "actinn"), wrong=3)), "actinn")
    assert plain_cpu["gpu_hours"] == 0
    assert np.isnan(plain_cpu["cost"])


def test_a_folder_of_a_checkpoint_is_named_without_its_path():
    run = Run("knn-own", "knn", "/somebody/secret/own")
    assert row(table(ran(run, wrong=3)), "knn-own")["model"] == "own"


def test_a_data_set_that_nobody_published_on_has_regenerated_rows_alone():
    found = table(ran(Run("actinn", "actinn"), wrong=3), dataset=None)
    assert set(found["status"]) == {"regenerated"}
    assert found["published"].isna().all()


@pytest.mark.parametrize(("wrong", "word"), [(2, "beats"), (16, "loses to")])
def test_who_loses_to_whom_is_said_with_the_paired_interval(wrong, word):
    outcomes = [ran(FULL, wrong=wrong), ran(Run("genes-svm", "genes-svm"), wrong=8)]
    outcomes.append(ran(Run("majority", "majority"), wrong=0))
    text = verdict(outcomes, metric="macro_f1", seed=0, draws=50)
    assert f"{FULL.name} (" in text
    assert f" {word} the best method without one, genes-svm" in text
    assert "95 % interval" in text


def test_there_is_no_verdict_without_both_sides():
    assert verdict([ran(FULL, wrong=2)], metric="macro_f1", seed=0, draws=10) is None
    lost = [ran(FULL, wrong=2), missing(Run("actinn", "actinn"), "why")]
    assert verdict(lost, metric="macro_f1", seed=0, draws=10) is None


def test_the_page_escapes_what_others_wrote():
    hostile = "<script>alert(1)</script>"
    found = table(missing(Run("scanvi", "scanvi"), hostile), ran(FULL, wrong=2, notes=[hostile]))
    content = {
        "name": "zheng68k",
        "task": "classification",
        "published_as": "Zheng68K",
        "status": "unavailable",
        "reason": hostile,
        "verdict": hostile,
        "notes": [hostile],
        "rows": plain(found),
    }
    page = render_benchmark([content], {"price_per_gpu_hour": 1.5, "currency": hostile})
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    json.dumps(content, allow_nan=False)
