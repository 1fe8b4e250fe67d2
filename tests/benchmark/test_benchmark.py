"""`snakemake benchmark` against a hub that stands on this machine."""

import json
import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml
from hub_server import COMMIT, HubServer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from small import ROOT, TINY, make_cells

from aidocell.baselines.genes import log_normalise
from aidocell.benchmark.config import Run
from aidocell.benchmark.jobs import run
from aidocell.benchmark.plan import Plan
from aidocell.benchmark.sources import RUN, Sources, write_run
from aidocell.records import read_record

pytestmark = pytest.mark.workflow

REPOSITORY = "genbio-ai/cell-downstream-tasks"
SEEDS = [1, 2]


def split(name, published):
    return {
        "name": name,
        "published": published,
        "repository": REPOSITORY,
        "train": f"{name}/{name}_train.h5ad",
        "valid": f"{name}/{name}_valid.h5ad",
        "test": f"{name}/{name}_test.h5ad",
        "label": "cell_type_label",
    }


CONFIG = {
    "datasets": [split("zheng", "Zheng68K"), split("Segerstolpe", "Segerstolpe")],
    "methods": ["logistic", "genes-logistic", "reference"],
    "models": [str(TINY)],
    "seeds": SEEDS,
    "bootstrap_draws": 50,
    "clustering": {"datasets": [{"name": "sperm", "published": "human spermatogenesis", "label": "t"}],
                   "representations": ["pca"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def hub_files(tmp_path_factory):
    """Two data sets as the hub has them: whole numbers as labels, symbols as genes."""
    folder = tmp_path_factory.mktemp("hub")
    for name in ("zheng", "Segerstolpe"):
        (folder / name).mkdir()
        for seed, (part, cells) in enumerate({"train": 20, "valid": 6, "test": 12}.items()):
            made = make_cells(cells, seed=seed)
            made.obs_names = [f"{part}{barcode}" for barcode in made.obs_names]
            made.obs = made.obs[[]].assign(cell_type_label=made.obs["cell_type"].eq("late") * 1)
            if part == "test":  # one is labelled wrong, so that no method is perfect
                made.obs.iloc[0, 0] = 1 - made.obs.iloc[0, 0]
            made.X = made.X.astype(np.float32)
            made.write_h5ad(folder / name / f"{name}_{part}.h5ad")
    return folder


@pytest.fixture(scope="module")
def finished(hub_files, tmp_path_factory):
    """The whole target, run once; a file of the second data set is broken on its way."""
    study = tmp_path_factory.mktemp("benchmark")
    (study / "config").mkdir()
    (study / "config/benchmark.yaml").write_text(yaml.safe_dump(CONFIG))
    with HubServer({f"datasets/{REPOSITORY}": hub_files}) as hub:
        hub.altered["Segerstolpe_test.h5ad"] = b"not what was announced"
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
             "--directory", str(study), "benchmark"],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(study / "cache")},
            capture_output=True, text=True, timeout=800,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return study


@pytest.fixture
def tables(finished):
    folder = finished / "results/benchmark/tables"
    return {p.stem: pd.read_csv(p, sep="\t", dtype={"seeds": str}) for p in folder.glob("*.tsv")}


def test_each_data_set_has_a_table_and_all_are_on_one_page(finished, tables):
    assert set(tables) == {"zheng", "Segerstolpe", "sperm"}
    page = (finished / "results/benchmark/benchmark.html").read_text()
    assert all(f'id="{name}"' in page for name in tables)
    content = json.loads((finished / "results/benchmark/tables/zheng.json").read_text())
    assert content["data"]["parts"]["train"]["revision"] == COMMIT
    assert any("256 of the model's 19,264 genes" in note for note in content["notes"])
    assert not any(str(finished) in text for text in (page, json.dumps(content)))


def test_the_regenerated_figure_is_that_of_the_library_by_hand(hub_files, tables):
    read = {p: ad.read_h5ad(hub_files / f"zheng/zheng_{p}.h5ad") for p in ("train", "test")}
    counts, labels = (
        {part: get(cells) for part, cells in read.items()}
        for get in (lambda c: log_normalise(c.X), lambda c: c.obs["cell_type_label"].to_numpy())
    )
    by_hand = LogisticRegression(max_iter=5000).fit(counts["train"], labels["train"])
    expected = f1_score(labels["test"], by_hand.predict(counts["test"]), average="macro")
    found = tables["zheng"].set_index(["method", "metric"]).loc[("genes-logistic", "macro_f1")]
    assert found["regenerated"] == pytest.approx(expected)
    assert expected < 1
    assert (found["status"], found["seeds"]) == ("regenerated", "1, 2")
    assert found["low"] <= expected <= found["high"]
    assert found["run_seconds"] > 0


def test_methods_on_a_checkpoint_run_on_its_embeddings(tables):
    found = tables["zheng"].set_index(["method", "metric"]).loc[("logistic-tiny", "macro_f1")]
    assert found["status"] == "regenerated"
    assert found["model"] == "tiny"


def test_what_cannot_run_says_why_and_holds_up_nothing(tables):
    reference = tables["zheng"].set_index("method").loc["reference"]
    assert reference["status"] == "unavailable"
    assert "no CellTypist model" in reference["reason"]
    broken = tables["Segerstolpe"]
    assert broken["regenerated"].isna().all()
    own = broken[broken["status"] == "unavailable"]
    assert set(own["method"]) == {"logistic-tiny", "genes-logistic", "reference"}
    assert own["reason"].str.contains("Segerstolpe_test.h5ad came broken").all()
    assert tables["sperm"].set_index("method").loc["pca", "reason"].str.contains("no file").all()


def test_published_figures_stand_beside_whatever_ran(tables):
    for name, first in (("zheng", 0.761), ("Segerstolpe", 0.910)):
        assert tables[name].set_index("method").loc["AIDO.Cell-100M", "published"] == first
    assert tables["sperm"].query("metric == 'nmi'")["published"].tolist() == [0.514, 0.725]


# ---------------------------------------------------------------- jobs without Snakemake


def test_a_network_of_other_genes_is_fine_tuned_on_the_same_cells(finished, tmp_path):
    (tmp_path / "b.yaml").write_text(
        yaml.safe_dump(
            {**CONFIG, "methods": ["finetune"], "finetune": {"mode": "frozen", "epochs": 1}}
        )
    )
    plan = Plan(tmp_path / "b.yaml", ROOT / "workflow/schemas/benchmark.schema.json", ROOT)
    work = finished / "results/benchmark"
    about = plan.about_run("zheng", "finetune-tiny")
    record = work / "models/tiny.json"
    run(tmp_path / "run", about, 3, data=work / "data/zheng", record=record)
    found = read_record(tmp_path / "run" / RUN)
    assert (found["status"], found["test_cells"]) == ("regenerated", 12)
    assert found["device"] == "CPU" or found["gpus"] == 1


def test_a_bug_is_no_reason_to_be_unavailable(finished, tmp_path):
    def broken(folder):
        raise ValueError("a bug")

    sources = Sources(data=finished / "results/benchmark/data/zheng")
    with pytest.raises(ValueError, match="a bug"):
        write_run(tmp_path / "run", Run("x", "majority"), sources, 0, broken)
    assert not (tmp_path / "run").exists()


def test_without_its_data_a_run_is_not_begun(finished, tmp_path):
    sources = Sources(data=finished / "results/benchmark/data/Segerstolpe")
    write_run(tmp_path / "run", Run("x", "majority"), sources, 0, lambda folder: 1 / 0)
    assert read_record(tmp_path / "run" / RUN)["status"] == "unavailable"
