"""The command line as its users and their scripts meet it: output, last line and exit status."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
import typer
from small import TINY, make_cells

import aidocell
from aidocell.baselines import METHODS
from aidocell.cli import app, main
from aidocell.genes import Vocabulary
from aidocell.lock import hold
from aidocell.model import AidoCell, load_model, random_network, save_checkpoint
from aidocell.store import StoreReader, read_store


@dataclass
class Answer:
    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """Last line on stderr."""
        return self.err.rstrip("\n").split("\n")[-1]

    def refused(self, id: str, text: str = "", *, status: int = 2) -> None:
        assert self.last.startswith(f"error[{id}]: "), self.err
        assert text in self.last
        assert self.status == status
        assert "Traceback" not in self.err


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def call(*words: object) -> int:
    """Run the command in this process; its exit status."""
    before = sys.argv
    sys.argv = ["aidocell", *map(str, words)]
    try:
        main()
    except SystemExit as ended:
        return ended.code
    finally:
        sys.argv = before
    raise AssertionError("main() returned")


pytestmark = pytest.mark.usefixtures("plain_logging")


@pytest.fixture
def run(capsys):
    """Run the command in this process and catch what it says."""

    def run(*words: object) -> Answer:
        capsys.readouterr()
        status = call(*words)
        return Answer(status, *capsys.readouterr())

    return run


def start(*words: object, cwd: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "aidocell", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    """An .h5ad of 60 labelled cells."""
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    make_cells(60).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def normalised(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("normalised") / "normalised.h5ad"
    table = make_cells(10)
    table.X = np.log1p(table.X.toarray() / 7)
    table.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, cells) -> Path:
    path = tmp_path_factory.mktemp("embedded") / "e.zarr.zip"
    assert call("embed", cells, "--model", TINY, "--output", path) == 0
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, embedded) -> Path:
    path = tmp_path_factory.mktemp("classifier") / "classifier"
    assert call("annotate", "train", embedded, "--label", "cell_type", "--output", path) == 0
    return path


@pytest.fixture(scope="module")
def other_checkpoint(tmp_path_factory) -> Path:
    """A checkpoint of the tiny one's shape and genes with other weights."""
    path = tmp_path_factory.mktemp("other")
    save_checkpoint(path, random_network(load_model(str(TINY)).config, seed=1))
    shutil.copy(TINY / "genes.tsv", path)
    return path


def forbid(monkeypatch, *names: str) -> None:
    """No command may get as far as these functions."""
    for name in names:
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("heavy work has begun"))


# ---------------------------------------------------------------- help and usage


def all_commands(group=None, words=()):
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, (*words, name))
        else:
            yield (*words, name)


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_the_help_of_every_command_has_an_example(run, words):
    answer = run(*words, "--help")
    assert answer.status == 0
    assert f"Example: aidocell {' '.join(words)} " in answer.out
    assert answer.err == ""


def test_the_promised_commands_are_there():
    promised = "check, align, embed, annotate train, annotate apply, annotate reference, annotate evaluate, finetune, pretrain, verify, export, doctor, plan, recover, status"
    assert {" ".join(words) for words in all_commands()} == set(promised.split(", "))


def test_help_and_import_wait_for_nothing_heavy(tmp_path):
    code = """
import sys
import aidocell
assert "torch" not in sys.modules and "pandas" not in sys.modules
import aidocell.cli
sys.argv = ["aidocell", "embed", "--help"]
try:
    aidocell.cli.main()
except SystemExit as ended:
    assert ended.code == 0
heavy = {"torch", "anndata", "scanpy", "pandas", "sklearn", "zarr", "h5py", "scipy", "rich"}
print("loaded:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.endswith("loaded: []\n")


def test_the_version_is_that_of_the_package(run):
    assert run("--version").out == f"aidocell {aidocell.__version__}\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "`aidocell` needs a command"),
        (["annotate"], "`aidocell annotate` needs a command"),
        (["nope"], "No such command 'nope'"),
        (["check"], "Missing argument 'INPUT...'; see `aidocell check --help`"),
        (["check", "x", "--nope"], "--nope"),
        (["check", "x", "--min-gene-share", "2"], "--min-gene-share"),
        (["align", "x"], "Missing option '--output'"),
        (["embed", "x", "--output", "y.zarr.zip"], "Missing option '--model'"),
        (["annotate", "train", "x", "--label", "a"], "see `aidocell annotate train --help`"),
        (["annotate", "train", "x", "--label", "a", "--output", "y", "--folds", "1"], "--folds"),
        (["annotate", "train", "x", "--label", "a", "--output", "y", "--seed", 2**32], "--seed"),
        (["verify"], "Missing argument 'FILE...'"),
        (["embed", "x", "--model", "m", "--output", "y.zarr.zip", "--batch-size", "0"], "batch size '0'"),
        (["embed", "x", "--model", "m", "--output", "y.zarr.zip", "--batch-size", "²"], "batch size '²'"),
        (["embed", "x", "--model", "m", "--output", "y.zarr.zip", "--batch-size", "9" * 5000], "batch size"),
        (["embed", "x", "--model", "m", "--output", "y.zarr.zip", "--pooling", "median"], "mean, max, measured"),
        (["embed", "x", "--model", "m", "--output", "y.zarr.zip", "--device", "tpu"], "auto, cpu, cuda"),
        (["embed", "x", "--model", "m", "--output", "y.h5ad"], "name it NAME.zarr.zip"),
        (["align", "x", "--output", "y.zarr"], ".zarr.zip"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_its_line_and_status_2(run, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").touch()
    if words[:1] == ["align"]:
        make_cells(3).write_h5ad(tmp_path / "x")
    run(*words).refused("E_USAGE", text)
    assert names(tmp_path) == ["x"]


def test_without_a_command_there_is_a_list_of_them(run):
    assert "doctor" in run().out
    assert "evaluate" in run("annotate").out


# ---------------------------------------------------------------- check and align


def test_check_accepts_counts_and_writes_nothing(run, cells):
    before = sorted(cells.parent.iterdir())
    answer = run("check", cells, "--model", TINY)
    assert answer.status == 0
    assert f"{cells}: accepted" in answer.out
    assert "60 cells × 256 genes" in answer.out
    assert sorted(cells.parent.iterdir()) == before


def test_check_lists_every_file_and_ends_with_the_first_refusal(run, cells, normalised, tmp_path):
    answer = run("check", tmp_path / "no.h5ad", cells, normalised, "--model", TINY)
    answer.refused("E_FILE_MISSING", "no.h5ad")
    assert answer.out.count("refused") == 2
    assert answer.out.count(": accepted") == 1
    assert "E_NOT_COUNTS" in answer.out


def test_check_speaks_json(run, cells, normalised):
    answer = run("check", cells, normalised, "--model", TINY, "--json")
    good, bad = json.loads(answer.out)
    assert good["accepted"]
    assert good["cells"] == 60
    assert bad["error"]["id"] == "E_NOT_COUNTS"
    answer.refused("E_NOT_COUNTS")


def test_options_of_reading_reach_the_reader(run, cells, tmp_path):
    run("check", cells, "--layer", "x", "--model", TINY).refused("E_LAYER_MISSING", "'x'")
    run("check", cells, "--gene-ids", "x", "--model", TINY).refused("E_GENE_COLUMN", "x")
    (tmp_path / "list").write_text("cell3\ncell5\n")
    answer = run("check", cells, "--cells", tmp_path / "list", "--model", TINY, "--json")
    assert json.loads(answer.out)[0]["cells"] == 2


def test_the_least_share_of_known_genes_is_an_option(run, tmp_path):
    table = make_cells(20)
    table.var_names = [f"NOGENE{i}" if i < 200 else name for i, name in enumerate(table.var_names)]
    table.write_h5ad(tmp_path / "x.h5ad")
    run("check", tmp_path / "x.h5ad", "--model", TINY).refused("E_GENES_UNKNOWN")
    relaxed = ("--model", TINY, "--min-gene-share", "0.01")
    assert run("check", tmp_path / "x.h5ad", *relaxed).status == 0
    assert (
        run("align", tmp_path / "x.h5ad", *relaxed, "--output", tmp_path / "a.zarr.zip").status == 0
    )


def test_align_writes_what_the_python_function_gives(run, cells, tmp_path):
    output = tmp_path / "counts.zarr.zip"
    answer = run("align", cells, "--model", TINY, "--output", output)
    assert answer.status == 0
    assert "accepted" in answer.out
    expected = aidocell.align(aidocell.read_counts(cells), genes=load_model(str(TINY)).genes)
    found = read_store(output)
    assert (found.X != expected.X).nnz == 0
    assert found.var_names.tolist() == expected.var_names.tolist()
    assert list(tmp_path.iterdir()) == [output]


def test_refused_counts_leave_nothing_in_the_output_s_folder(run, normalised, embedded, tmp_path):
    model = ("--model", TINY)
    run("align", normalised, *model, "--output", tmp_path / "c.zarr.zip").refused("E_NOT_COUNTS")
    run("embed", normalised, *model, "--output", tmp_path / "e.zarr.zip").refused("E_NOT_COUNTS")
    run("embed", tmp_path / "no", *model, "--output", tmp_path / "e.zarr.zip").refused(
        "E_FILE_MISSING"
    )
    run(
        "embed", normalised, "--model", tmp_path / "no", "--output", tmp_path / "e.zarr.zip"
    ).refused("E_MODEL_MISSING")
    run("annotate", "train", embedded, "--label", "no", "--output", tmp_path / "c").refused(
        "E_LABEL_MISSING", "'no'"
    )
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- embed and annotate


def test_embed_gives_what_the_python_functions_give(embedded, cells):
    model = load_model(str(TINY))
    aligned = aidocell.align(aidocell.read_counts(cells), genes=model.genes)
    found = read_store(embedded)
    assert np.array_equal(found.obsm["X_aidocell"], aidocell.embed(model, aligned))
    assert found.obs["cell_type"].tolist() == aligned.obs["cell_type"].tolist()


def test_embed_says_what_it_does(run, cells, tmp_path):
    words = ("embed", cells, "--model", TINY, "--output")
    answer = run(*words, tmp_path / "a.zarr.zip", "--pooling", "max", "--batch-size", "7")
    assert answer.out == f"wrote {tmp_path / 'a.zarr.zip'}\n"
    assert "cells/s" in answer.err
    assert "Embedding: 60 of 60" in answer.err
    assert run("--quiet", *words, tmp_path / "b.zarr.zip").err == ""


def test_options_of_embedding_are_on_record(run, cells, tmp_path):
    output = tmp_path / "e.zarr.zip"
    options = ("--pooling", "max", "--precision", "bfloat16", "--attention", "reference")
    assert run("embed", cells, "--model", TINY, "--output", output, *options).status == 0
    with StoreReader(output) as store:
        record = store.provenance
    assert record["options"] == {
        "pooling": "max",
        "precision": "bfloat16",
        "attention": "reference",
    }
    assert record["resolved"]["device"] == "cpu"


def test_a_classifier_labels_a_store_and_an_input_alike(run, cells, embedded, classifier, tmp_path):
    words = ("--classifier", classifier, "--output")
    assert run("annotate", "apply", embedded, *words, tmp_path / "a.parquet").status == 0
    assert (
        run("annotate", "apply", cells, "--model", TINY, *words, tmp_path / "b.parquet").status == 0
    )
    first, second = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    pd.testing.assert_frame_equal(first, second)
    named = ["cell", "predicted", "probability", "unknown", "distance", "p_early", "p_late"]
    assert first.columns.tolist() == named
    truth = make_cells(60).obs["cell_type"].to_numpy()
    assert (first["predicted"] == truth).mean() > 0.9


def test_a_classifier_brings_its_pooling_to_an_input(run, cells, tmp_path):
    shared = ("--model", TINY)
    folder = tmp_path / "classifier"
    trained = run(
        "annotate", "train", cells, *shared, "--label", "cell_type", "--pooling", "max",
        "--method", "knn", "--group", "donor", "--folds", "3", "--output", folder,
    )  # fmt: skip
    assert trained.status == 0
    words = ("--classifier", folder, "--output", tmp_path / "out.parquet")
    assert run("annotate", "apply", cells, *shared, *words).status == 0


def test_a_classifier_refuses_other_embeddings_before_they_are_made(
    run, cells, embedded, classifier, other_checkpoint, tmp_path, monkeypatch
):
    words = ("--classifier", classifier, "--output", tmp_path / "out.parquet")
    made = tmp_path / "max.zarr.zip"
    assert run("embed", cells, "--model", TINY, "--pooling", "max", "--output", made).status == 0
    run("annotate", "apply", made, *words).refused("E_STORE_MISMATCH", "pooling max")
    forbid(monkeypatch, "aidocell.standalone.embed_file")
    run("annotate", "apply", cells, "--model", TINY, "--pooling", "max", *words).refused(
        "E_STORE_MISMATCH", "pooling max, expected mean"
    )
    run("annotate", "apply", cells, "--model", other_checkpoint, *words).refused(
        "E_STORE_MISMATCH", "checkpoint"
    )
    assert list(tmp_path.iterdir()) == [made]


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("column", ["--label", "--group"])
def test_a_missing_column_is_refused_before_the_work(
    run, cells, tmp_path, monkeypatch, command, column
):
    forbid(monkeypatch, "aidocell.standalone.embed_file", "aidocell.standalone.align_file")
    columns = {"--label": "cell_type", "--group": "donor", column: "celltype"}
    words = [word for pair in columns.items() for word in pair]
    run("annotate", command, cells, "--model", TINY, *words, "--output", tmp_path / "x").refused(
        "E_LABEL_MISSING",
        f"no column 'celltype' (columns: cell_type, donor); give one of those to {column}",
    )


def test_an_unknown_method_is_refused_before_the_work(run, cells, tmp_path, monkeypatch):
    forbid(monkeypatch, "aidocell.standalone.embed_file")
    words = ("--model", TINY, "--label", "cell_type", "--output", tmp_path / "x")
    run("annotate", "train", cells, *words, "--method", "majority").refused("E_CONFIG", "majority")


def test_an_input_without_a_model_is_asked_for_one(run, cells, classifier, tmp_path):
    output = ("--output", tmp_path / "x")
    run("annotate", "train", cells, "--label", "cell_type", *output).refused("E_USAGE", "--model")
    run("annotate", "apply", cells, "--classifier", classifier, *output).refused(
        "E_USAGE", "--model"
    )


def metrics(folder):
    table = pd.read_csv(folder / "metrics.tsv", sep="\t")
    return table[table["method"].isin(["logistic", "majority"])].reset_index(drop=True)


def test_methods_are_judged_alike_from_an_input_and_from_stores(run, cells, embedded, tmp_path):
    words = ("--label", "cell_type", "--folds", "3", "--output")
    both = ("--methods", "logistic, majority")
    evaluate = ("annotate", "evaluate")
    assert run(*evaluate, embedded, *both, *words, tmp_path / "store").status == 0
    assert run(*evaluate, cells, "--model", TINY, *both, *words, tmp_path / "input").status == 0
    given = ("--model", TINY, "--embeddings", embedded)
    assert run(*evaluate, cells, *given, *words, tmp_path / "given").status == 0
    pd.testing.assert_frame_equal(metrics(tmp_path / "store"), metrics(tmp_path / "input"))
    pd.testing.assert_frame_equal(metrics(tmp_path / "store"), metrics(tmp_path / "given"))
    methods = pd.read_csv(tmp_path / "given/metrics.tsv", sep="\t")["method"].unique()
    assert methods.tolist() == [name for name, method in METHODS.items() if method.quick]


def test_a_method_without_what_it_needs_is_refused(run, embedded, tmp_path):
    words = ("--label", "cell_type", "--output", tmp_path / "x", "--methods", "pca-knn")
    run("annotate", "evaluate", embedded, *words).refused("E_CONFIG", "raw counts")


@pytest.fixture
def others(tmp_path) -> Path:
    """An .h5ad of 40 other labelled cells, of other donors."""
    path = tmp_path / "others.h5ad"
    table = make_cells(40, seed=1)
    table.obs["donor"] = "e" + table.obs["donor"].astype(str)
    table.write_h5ad(path)
    return path


EVALUATE = ("annotate", "evaluate")
LABELLED = ("--label", "cell_type", "--methods", "genes-logistic,majority")


def test_methods_are_judged_by_a_test_file(run, cells, others, tmp_path):
    words = (*LABELLED, "--group", "donor", "--output", tmp_path / "out")
    assert run(*EVALUATE, cells, "--test", others, *words).status == 0
    table = pd.read_csv(tmp_path / "out/metrics.tsv", sep="\t")
    assert table["fold"].unique().tolist() == ["all", "1"]
    assert pd.read_parquet(tmp_path / "out/predictions.parquet")["cell"].nunique() == 40


def test_a_test_file_is_embedded_like_the_training_file(run, cells, others, embedded, tmp_path):
    words = ("--label", "cell_type", "--methods", "logistic", "--model", TINY, "--output")
    given = tmp_path / "others.zarr.zip"
    assert run("embed", others, "--model", TINY, "--output", given).status == 0
    assert run(*EVALUATE, cells, "--test", others, *words, tmp_path / "made").status == 0
    stores = ("--embeddings", embedded, "--test-embeddings", given)
    assert run(*EVALUATE, cells, "--test", others, *stores, *words, tmp_path / "given").status == 0
    assert run(*EVALUATE, embedded, "--test", given, *words, tmp_path / "alone").status == 0
    made, given, alone = (metrics(tmp_path / name) for name in ("made", "given", "alone"))
    pd.testing.assert_frame_equal(made, given)
    pd.testing.assert_frame_equal(made, alone)


def test_a_donor_in_both_files_is_refused(run, cells, others, tmp_path):
    table = ad.read_h5ad(others)
    table.obs["donor"] = [" d1 ", *table.obs["donor"].astype(str)[1:]]
    table.write_h5ad(others)
    words = (*LABELLED, "--group", "donor", "--output", tmp_path / "out")
    run(*EVALUATE, cells, "--test", others, *words).refused("E_GROUP_LEAK", "'d1'")
    assert not (tmp_path / "out").exists()


def test_a_cell_in_both_files_is_refused_however_it_is_stored(run, cells, others, tmp_path):
    source, table = ad.read_h5ad(cells), ad.read_h5ad(others)
    counts = table.X.toarray().astype(np.float32)
    counts[5] = source.X[17].toarray()
    symbols = Vocabulary.read(TINY / "genes.tsv")
    order = np.random.default_rng(0).permutation(counts.shape[1])
    ids = np.array([e or s for e, s in zip(symbols.ensembl_ids, symbols.symbols, strict=True)])
    hidden = ad.AnnData(counts[:, order], obs=table.obs, var=pd.DataFrame(index=ids[order]))
    hidden.write_h5ad(others)
    words = (*LABELLED, "--output", tmp_path / "out")
    run(*EVALUATE, cells, "--test", others, *words).refused(
        "E_GROUP_LEAK", "'cell17', there 'cell5'"
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--test", "x", "--folds", "3"], "--folds has no meaning beside --test"),
        (["--test", "x", "--repeats", "2"], "--repeats has no meaning beside --test"),
        (["--test", "x", "--leave-one-group-out"], "beside --test"),
        (["--valid", "x"], "--valid has no meaning without --test"),
        (["--methods", "majority", "--reference", "x"], "without the method reference"),
        (["--model", TINY, "--finetune", "epochs=2"], "without the method finetune"),
        (["--test-embeddings", "x"], "without --test"),
        (["--leave-one-group-out"], "without --group"),
        (["--leave-one-group-out", "--group", "donor", "--repeats", "2"], "--repeats has no"),
        (["--finetune", "mode=lora"], "without --model"),
        (["--model", TINY, "--finetune", "mod=lora"], "no option 'mod'"),
        (["--model", TINY, "--finetune", "epochs=two"], "epochs is 'two'"),
        (["--model", TINY, "--finetune", "class-weights=yes"], "true or false"),
    ],
)
def test_options_that_contradict_are_refused_before_the_work(
    run, cells, tmp_path, monkeypatch, words, text
):
    forbid(monkeypatch, "aidocell.standalone.align_file")
    run(*EVALUATE, cells, *LABELLED, "--output", tmp_path / "x", *words).refused("E_USAGE", text)


@pytest.mark.parametrize(
    ("method", "text"),
    [("forest", "'forest' is no method"), ("finetune", "--model"), ("reference", "--reference")],
)
def test_a_method_that_cannot_be_judged_is_refused_before_the_work(
    run, cells, tmp_path, monkeypatch, method, text
):
    forbid(monkeypatch, "aidocell.standalone.align_file")
    words = ("--label", "cell_type", "--methods", method, "--output", tmp_path / "x")
    run(*EVALUATE, cells, *words).refused("E_CONFIG", text)


def test_the_checkpoint_is_fine_tuned_for_each_fold_and_nothing_embedded(
    run, cells, tmp_path, monkeypatch
):
    forbid(monkeypatch, "aidocell.standalone.embed_file")
    how = ("--finetune", "mode=frozen", "--finetune", "epochs=1", "--finetune", "batch-size=30")
    words = ("--label", "cell_type", "--methods", "finetune", "--folds", "2", "--output")
    assert run(*EVALUATE, cells, "--model", TINY, *how, *words, tmp_path / "out").status == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["finetune"]["mode"] == "frozen"
    assert summary["finetune"]["batch_size"] == 30
    assert summary["unavailable"] == {}
    assert len(pd.read_parquet(tmp_path / "out/predictions.parquet")) == 60


def test_splits_are_repeated_and_groups_left_out(run, cells, tmp_path):
    words = (*LABELLED, "--output")
    repeated = ("--folds", "2", "--repeats", "3")
    assert run(*EVALUATE, cells, *repeated, *words, tmp_path / "repeats").status == 0
    left_out = ("--group", "donor", "--leave-one-group-out")
    assert run(*EVALUATE, cells, *left_out, *words, tmp_path / "groups").status == 0
    folds = {
        name: pd.read_csv(tmp_path / name / "metrics.tsv", sep="\t")["fold"].unique().tolist()
        for name in ("repeats", "groups")
    }
    assert folds["repeats"] == ["all", "mean", *"123456"]
    assert folds["groups"] == ["all", "mean", *"123"]
    summary = json.loads((tmp_path / "groups/summary.json").read_text())
    assert summary["groups_of_fold"] == {"1": ["d0"], "2": ["d1"], "3": ["d2"]}


# ---------------------------------------------------------------- verify, export, recover, doctor


def test_verify_tells_whole_from_damaged(run, embedded, tmp_path):
    damaged = tmp_path / "damaged.zarr.zip"
    content = bytearray(embedded.read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    whole = run("verify", embedded)
    assert (whole.status, whole.out, whole.err) == (0, f"{embedded}: whole\n", "")
    answer = run("verify", damaged, embedded)
    assert answer.out == f"{damaged}: NOT whole\n{embedded}: whole\n"
    answer.refused("E_STORE_DAMAGED", "damaged.zarr.zip")
    first, second = json.loads(run("verify", damaged, embedded, "--json").out)
    assert first["errors"][0].startswith("error[E_STORE_DAMAGED]")
    assert second == {"path": str(embedded), "errors": []}


def test_verify_checks_a_results_folder_and_goes_on_after_what_is_none(run, embedded, tmp_path):
    from aidocell.manifest import write_manifest

    shutil.copy(embedded, tmp_path / "e.zarr.zip")
    write_manifest({"gather": [str(tmp_path / "e.zarr.zip")]}, tmp_path / "manifest.tsv")
    assert run("verify", tmp_path).status == 0
    answer = run("verify", tmp_path / "none", tmp_path)
    answer.refused("E_FILE_MISSING", "none")
    assert f"{tmp_path}: whole" in answer.out
    (tmp_path / "e.zarr.zip").unlink()
    run("verify", tmp_path).refused("E_STORE_DAMAGED", "is gone")


def test_export_opens_in_anndata(run, embedded, tmp_path):
    output = tmp_path / "e.h5ad"
    assert run("export", embedded, "--output", output).status == 0
    table = ad.read_h5ad(output)
    assert table.obsm["X_aidocell"].shape == (60, read_store(embedded).obsm["X_aidocell"].shape[1])
    assert table.obs["donor"].tolist() == make_cells(60).obs["donor"].tolist()
    assert table.uns["aidocell"]["stage"] == "embed"


def test_export_refuses_what_is_torn(run, embedded, tmp_path):
    (tmp_path / "torn.zarr.zip").write_bytes(embedded.read_bytes()[:-10])
    run("export", tmp_path / "torn.zarr.zip", "--output", tmp_path / "x.h5ad").refused(
        "E_STORE_DAMAGED"
    )
    assert names(tmp_path) == ["torn.zarr.zip"]


def test_recover_clears_a_dead_run_s_lock(run, tmp_path):
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").touch()
    assert run("recover", tmp_path / "results").status == 0
    assert not locks.exists()


def test_doctor_finds_the_tiny_checkpoint_and_this_machine_well(run):
    answer = run("doctor", "--model", TINY)
    assert answer.status == 0, answer.out
    assert all(line.startswith("ok  ") for line in answer.out.splitlines())
    assert "256 genes" in answer.out


def test_doctor_ends_with_what_is_wrong(run, tmp_path):
    answer = run("doctor", "--model", tmp_path / "none", "--json")
    answer.refused("E_MODEL_MISSING", "none")
    findings = json.loads(answer.out)
    assert [f["what"] for f in findings if not f["ok"]] == ["checkpoint"]


# ---------------------------------------------------------------- outputs that are there, or cannot be


def writers(cells, embedded, classifier, output):
    """Every command that writes, on good input."""
    model = ("--model", TINY)
    return {
        "align": ("align", cells, *model, "--output", output),
        "embed": ("embed", cells, *model, "--output", output),
        "export": ("export", embedded, "--output", output),
        "train": ("annotate", "train", cells, *model, "--label", "cell_type", "--output", output),
        "apply": ("annotate", "apply", cells, *model, "--classifier", classifier, "--output", output),
        "evaluate": ("annotate", "evaluate", cells, *model, "--label", "cell_type", "--output", output),
    }  # fmt: skip


NAMES = ["align", "embed", "export", "train", "apply", "evaluate"]
HEAVY = (
    "aidocell.counts.align.open_counts",
    "aidocell.standalone.open_counts",
    "aidocell.standalone.load_model",
    "aidocell.standalone.checkpoint_info",
    "aidocell.store.read_store",
)


@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_is_there_is_refused_before_the_work(
    run, cells, embedded, classifier, tmp_path, monkeypatch, name
):
    output = tmp_path / "there.zarr.zip"
    output.write_text("precious")
    forbid(monkeypatch, *HEAVY)
    run(*writers(cells, embedded, classifier, output)[name]).refused(
        "E_OUTPUT_EXISTS", "--overwrite"
    )
    assert output.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_cannot_be_is_refused_before_the_work(
    run, cells, embedded, classifier, tmp_path, monkeypatch, name
):
    (tmp_path / "file").touch()
    forbid(monkeypatch, *HEAVY)
    words = writers(cells, embedded, classifier, tmp_path / "file" / "x.zarr.zip")[name]
    run(*words).refused("E_USAGE", "is no folder")


@pytest.mark.parametrize("name", NAMES)
def test_overwrite_replaces_an_output(run, cells, embedded, classifier, tmp_path, name):
    output = tmp_path / "there.zarr.zip"
    output.write_text("old")
    source = cells if name in ("align", "embed") else embedded
    assert run(*writers(source, embedded, classifier, output)[name], "--overwrite").status == 0
    assert output.is_dir() or output.stat().st_size > len("old")
    assert list(tmp_path.iterdir()) == [output]


def test_a_folder_of_the_user_s_is_never_overwritten(run, embedded, tmp_path):
    (tmp_path / "thesis.tex").touch()
    words = ("--label", "cell_type", "--overwrite", "--output")
    for command in ("train", "evaluate"):
        run("annotate", command, embedded, *words, tmp_path).refused(
            "E_OUTPUT_EXISTS", "did not write"
        )
    assert names(tmp_path) == ["thesis.tex"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(run, cells, tmp_path):
    tmp_path.chmod(0o500)
    run("align", cells, "--model", TINY, "--output", tmp_path / "c.zarr.zip").refused(
        "E_USAGE", "permission"
    )


def test_a_file_that_may_not_be_read_is_told(run, embedded, tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "their.zarr.zip")

    monkeypatch.setattr("aidocell.manifest.verify", forbidden)
    run("verify", embedded).refused("E_FILE_MISSING", "no permission for their.zarr.zip")


# ---------------------------------------------------------------- failing machines, bugs, interrupts


@pytest.mark.parametrize("name", ["align", "embed", "export", "apply"])
def test_a_full_disk_ends_with_its_line_and_status_3(
    run, cells, embedded, classifier, tmp_path, monkeypatch, name
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    words = writers(cells, embedded, classifier, tmp_path / "x.zarr.zip")[name]
    monkeypatch.setattr(os, "fsync", full)
    run(*words).refused("E_DISK_FULL", "no space left while writing", status=3)
    assert names(tmp_path) == ([".x.zarr.zip.partial"] if name == "embed" else [])


def test_a_full_disk_for_temporary_files_is_told_too(run, embedded, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

    monkeypatch.setattr("aidocell.manifest.verify", full)
    run("verify", embedded).refused("E_DISK_FULL", "/tmp/x", status=3)


def test_embedding_goes_on_after_the_disk_was_full(run, cells, embedded, tmp_path, monkeypatch):
    words = ("embed", cells, "--model", TINY, "--output", tmp_path / "x.zarr.zip")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        assert run(*words).status == 3
    assert run(*words).status == 0
    assert (tmp_path / "x.zarr.zip").read_bytes() == embedded.read_bytes()
    assert names(tmp_path) == ["x.zarr.zip"]


def test_a_gpu_that_holds_not_one_cell_is_told_with_what_would_fit(
    run, cells, tmp_path, monkeypatch
):
    def out_of_memory(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AidoCell, "forward", out_of_memory)
    answer = run(
        "embed", cells, "--model", TINY, "--output", tmp_path / "x.zarr.zip", "--batch-size", "4"
    )
    answer.refused("E_GPU_MEMORY", "one cell does not fit", status=3)
    for remedy in ("--precision", "--attention", "model"):
        assert remedy in answer.last
    assert not (tmp_path / "x.zarr.zip").exists()


def test_an_output_that_another_run_holds_is_refused_with_status_3(run, cells, tmp_path):
    with hold(tmp_path / ".x.zarr.zip.lock"):
        run("embed", cells, "--model", TINY, "--output", tmp_path / "x.zarr.zip").refused(
            "E_LOCKED", "wait", status=3
        )


@pytest.mark.parametrize("bug", [RuntimeError("odd"), KeyError("odd"), OSError("odd")])
def test_a_bug_ends_with_a_traceback_and_the_request_to_report_it(
    run, embedded, tmp_path, monkeypatch, bug
):
    def broken(*_, **__):
        raise bug

    monkeypatch.setattr("aidocell.store.export", broken)
    answer = run("export", embedded, "--output", tmp_path / "x.h5ad")
    assert answer.status == 1
    assert "Traceback (most recent call last)" in answer.err
    assert "odd" in answer.err
    assert "report" in answer.last


@pytest.mark.parametrize(
    "refusal",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 40000000000 bytes. Error code 12"
        ),
    ],
)
def test_too_little_memory_is_the_machine_s_error(run, embedded, tmp_path, monkeypatch, refusal):
    def greedy(*_, **__):
        raise refusal

    monkeypatch.setattr("aidocell.store.export", greedy)
    answer = run("export", embedded, "--output", tmp_path / "x.h5ad")
    answer.refused("E_MEMORY", "mem_mb", status=3)


def test_ctrl_c_ends_with_130_and_no_traceback(run, embedded, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("aidocell.store.export", interrupted)
    answer = run("export", embedded, "--output", tmp_path / "x.h5ad")
    assert answer.status == 130
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_running_embed_whose_work_stays(tmp_path, number, status):
    make_cells(4000).write_h5ad(tmp_path / "cells.h5ad")
    process = start(
        "embed", "cells.h5ad", "--model", TINY, "--output", "x.zarr.zip", "--batch-size", "1", cwd=tmp_path
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / ".x.zarr.zip.partial/shards.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert {p.name for p in tmp_path.iterdir()} == {"cells.h5ad", ".x.zarr.zip.partial"}


# ---------------------------------------------------------------- odd names

ODD = [
    "a b.h5ad",
    "new\nline.h5ad",
    "$(touch run).h5ad",
    "`touch run`.h5ad",
    "; touch run;.h5ad",
    "-dash.h5ad",
    "*.h5ad",
    "%s%n{x}.h5ad",
    "\x1b[2Jclear.h5ad",
    "Zürich名.h5ad",
    os.fsdecode(b"M\xfcller.h5ad"),
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_break_no_line_and_run_nothing(run, cells, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run("check", "--", name).refused("E_FILE_MISSING", name if name.isprintable() else "h5ad")
    shutil.copy(cells, name)
    assert run("check", "--model", TINY, "--", name).status == 0
    assert json.loads(run("check", "--model", TINY, "--json", "--", name).out)[0]["path"] == name
    run("check", "--model", TINY, "--layer", name, "--", name).refused("E_LAYER_MISSING")
    run("verify", "--", name).refused("E_FILE_FORMAT")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a b", "new\nline", "$(touch run)", os.fsdecode(b"M\xfcller")])
def test_outputs_may_have_odd_names(run, cells, tmp_path, name):
    output = tmp_path / f"{name}.zarr.zip"
    answer = run("align", cells, "--model", TINY, "--output", output)
    assert answer.status == 0, answer.err
    assert run("verify", output).status == 0
    assert names(tmp_path) == [output.name]


def test_the_real_command_ends_with_its_line_and_status(tmp_path):
    """Once as its own process: nothing of a library's follows the last line."""
    table = make_cells(5)
    table.X = table.X.toarray() - 1.0
    table.write_h5ad(tmp_path / "scaled.h5ad")
    process = start("embed", "scaled.h5ad", "--model", TINY, "--output", "x.zarr.zip", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    Answer(process.returncode, out, err).refused("E_NEGATIVE", "scaled.h5ad")
    assert names(tmp_path) == ["scaled.h5ad"]
