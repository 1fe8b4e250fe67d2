"""The benchmark's configuration and the jobs that follow from it."""

import json

import pytest
import yaml
from small import ROOT

from aidocell.baselines import METHODS
from aidocell.benchmark.config import check_benchmark, plan_clusterings, plan_runs, read_benchmark
from aidocell.benchmark.plan import Plan
from aidocell.benchmark.published import published
from aidocell.benchmark.tables import is_example_recipe
from aidocell.embedding import POOLINGS, PRECISIONS
from aidocell.errors import InputError
from aidocell.train.options import HEADS, MODES
from aidocell.train.options import POOLINGS as HEAD_POOLINGS

SCHEMA = ROOT / "workflow/schemas/benchmark.schema.json"
DEFAULT = ROOT / "config/benchmark.yaml"
DATASET = {"name": "a", "repository": "owner/data", "train": "t", "test": "u", "label": "type"}


def refused(**given):
    with pytest.raises(InputError) as caught:
        check_benchmark(given, SCHEMA)
    assert caught.value.id == "E_CONFIG"
    return str(caught.value)


def test_the_schema_names_what_the_package_has():
    rules = json.loads(SCHEMA.read_text())["properties"]
    assert rules["methods"]["items"]["enum"] == list(METHODS)
    for section in ("embed", "clustering"):
        own = rules[section]["properties"]
        assert own["pooling"]["enum"] == list(POOLINGS)
        assert own["precision"]["enum"] == ["auto", *PRECISIONS]
    tuned = rules["finetune"]["properties"]
    names = [tuned[name]["enum"] for name in ("mode", "head", "pooling")]
    assert names == [list(MODES), list(HEADS), list(HEAD_POOLINGS)]


def test_the_default_benchmark_has_the_published_data_sets_methods_and_recipe():
    config = read_benchmark(DEFAULT, SCHEMA)
    sections = [*config["datasets"], *config["clustering"]["datasets"]]
    assert {one["published"] for one in sections} == {f.dataset for f in published()}
    for one in config["datasets"]:
        assert one["repository"] == "genbio-ai/cell-downstream-tasks"
        folder = one["train"].split("/")[0]
        wanted = [f"{folder}/{folder}_{part}.h5ad" for part in ("train", "valid", "test")]
        assert [one["train"], one["valid"], one["test"]] == wanted
        assert one["label"] == "cell_type_label"
    assert {run.method for run in plan_runs(config).values()} == set(METHODS)
    assert config["clustering"]["pooling"] == "measured_genes"
    assert len(config["seeds"]) > 1
    assert not config["accept_model_license"]
    assert is_example_recipe(config["finetune"])


@pytest.mark.parametrize("change", [{"epochs": 9}, {"learning_rate": 1e-4}, {"devices": 2}])
def test_another_recipe_is_not_called_the_example(change):
    config = check_benchmark({"finetune": change}, SCHEMA)
    assert not is_example_recipe(config["finetune"])


def test_the_same_cells_in_a_step_are_the_same_recipe():
    config = check_benchmark({"finetune": {"batch_size": 4, "accumulate": 4}}, SCHEMA)
    assert is_example_recipe(config["finetune"])


def test_methods_that_take_a_checkpoint_run_once_with_each():
    given = {"methods": ["knn", "majority"], "models": ["x/AIDO.Cell-3M", "models/own/"]}
    runs = plan_runs(check_benchmark(given, SCHEMA))
    assert list(runs) == ["knn-AIDO.Cell-3M", "knn-own", "majority"]
    assert [run.model for run in runs.values()] == ["x/AIDO.Cell-3M", "models/own/", None]
    assert [run.embedded for run in runs.values()] == [True, True, False]


def test_clusterings_have_checkpoints_of_their_own():
    given = {"clustering": {"models": ["x/y"], "representations": ["embedding", "pca"]}}
    assert list(plan_clusterings(check_benchmark(given, SCHEMA))) == ["embedding-y", "pca"]


def test_names_that_would_share_a_folder_are_refused():
    twice = {"name": "a", "label": "type"}
    assert "'a'" in refused(datasets=[DATASET], clustering={"datasets": [twice]})
    assert "'y'" in refused(models=["x/y", "z/y"])


def test_a_misspelt_key_of_a_data_set_is_refused():
    assert "sha25" in refused(clustering={"datasets": [{"name": "b", "label": "t", "sha25": "0"}]})
    assert "E_CONFIG" in refused(datasets=[{**DATASET, "name": "../up"}])


@pytest.mark.parametrize("text", ["datasets: [", "just words", ""])
def test_what_is_no_configuration_is_refused(tmp_path, text):
    (tmp_path / "b.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        read_benchmark(tmp_path / "b.yaml", SCHEMA)
    assert caught.value.id == "E_CONFIG"


def planned(tmp_path, **given):
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"datasets": [DATASET], **given}))
    return Plan(tmp_path / "b.yaml", SCHEMA, ROOT)


def test_a_job_depends_on_what_changes_its_result_alone(tmp_path):
    first = planned(tmp_path, models=["x/y"])
    second = planned(tmp_path, models=["x/y", "x/z"], price_per_gpu_hour=2, reference="r.pkl")
    for name in ("majority", "finetune-y", "logistic-y"):
        assert first.about_run("a", name) == second.about_run("a", name)
    assert first.about_run("a", "reference") != second.about_run("a", "reference")
    tuned = planned(tmp_path, models=["x/y"], finetune={"epochs": 3})
    assert first.about_run("a", "majority") == tuned.about_run("a", "majority")
    assert first.about_run("a", "finetune-y") != tuned.about_run("a", "finetune-y")


def test_runs_wait_for_what_they_read(tmp_path):
    plan = planned(tmp_path, models=["x/y"], seeds=[1, 2], methods=["knn", "finetune", "majority"])
    assert plan.inputs("a", "knn-y") == {"embeddings": "results/benchmark/embeddings/a/y"}
    assert plan.inputs("a", "finetune-y") == {"model": "results/benchmark/models/y.json"}
    assert plan.inputs("a", "majority") == {}
    assert plan.gpus("a", "finetune-y") == 1
    assert plan.gpus("a", "majority") == 0
    assert len(plan.outputs()) == 6
    assert plan.outputs()[0] == "results/benchmark/runs/a/knn-y/1"
