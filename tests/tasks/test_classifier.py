import io
import json
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aidocell import files
from aidocell.errors import InputError
from aidocell.provenance import run_key
from aidocell.tasks.annotate import evaluate
from aidocell.tasks.calibration import tempered
from aidocell.tasks.classifier import apply
from aidocell.tasks.classifier_folder import load_classifier, save_classifier
from aidocell.tasks.similarity import distances
from aidocell.tasks.train import train
from aidocell.tasks.vote import neighbourhoods

SKLEARN = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000)),
    "knn": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(algorithm="brute")),
}


def trained(toy, provenance, *, method="logistic", rows=slice(None), **options):
    given = {"labels": toy.labels[rows], "label": "cell_type", "provenance": provenance, **options}
    labels = given.pop("labels")
    return train(labels, toy.cells[rows], toy.embeddings[rows], method=method, **given)


@pytest.fixture
def folder(toy, provenance, tmp_path):
    save_classifier(trained(toy, provenance), tmp_path / "classifier")
    return tmp_path / "classifier"


def forge(folder, change=None, **arrays):
    """Change a folder as somebody would who also renews its checksums."""
    content = json.loads((folder / "classifier.json").read_text())
    if arrays:
        with np.load(folder / "arrays.npz") as stored:
            kept = {name: stored[name] for name in stored.files if name not in arrays}
        added = {name: array for name, array in arrays.items() if array is not None}
        np.savez(folder / "arrays.npz", **{**kept, **added})
    if change:
        change(content)
    del content["content_sha256"]
    content["arrays_sha256"] = files.sha256_file(folder / "arrays.npz")
    content["content_sha256"] = run_key(**content)
    (folder / "classifier.json").write_text(json.dumps(content))


def refused(folder):
    with pytest.raises(InputError) as caught:
        load_classifier(folder)
    return caught.value.id


@pytest.mark.parametrize("method", SKLEARN)
@pytest.mark.parametrize("classes", [2, 3])
def test_saved_and_loaded_it_predicts_as_scikit_learn_does(
    toy, make_toy, provenance, tmp_path, method, classes
):
    rows = np.flatnonzero(np.isin(toy.labels, ["B", "NK", "T"][:classes]))
    save_classifier(trained(toy, provenance, method=method, rows=rows), tmp_path / "c")
    by_name = rows[np.argsort(toy.cells[rows])]
    reference = SKLEARN[method]().fit(
        toy.embeddings[by_name].astype(np.float64), toy.labels[by_name]
    )
    new = make_toy(seed=1)
    table = apply(load_classifier(tmp_path / "c"), new.embeddings, new.cells, provenance=provenance)
    expected = reference.predict_proba(new.embeddings.astype(np.float64))
    np.testing.assert_array_equal(table.filter(like="p_").to_numpy()[:, -classes:], expected)
    assert table["predicted"].tolist() == reference.predict(new.embeddings).tolist()


def test_the_table_has_its_columns_in_order_and_its_cells_as_given(toy, provenance):
    table = apply(trained(toy, provenance), toy.embeddings, toy.cells, provenance=provenance)
    first = ["cell", "predicted", "probability", "unknown", "distance"]
    assert table.columns.tolist() == [*first, "p_B", "p_NK", "p_T"]
    assert table["cell"].tolist() == toy.cells.tolist()
    assert (table["probability"] == table[["p_B", "p_NK", "p_T"]].max(axis=1)).all()


def test_equal_training_gives_equal_bytes_in_any_order_of_cells(toy, provenance, tmp_path):
    save_classifier(trained(toy, provenance), tmp_path / "one")
    order = np.random.default_rng(0).permutation(60)
    save_classifier(trained(toy, provenance, rows=order), tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_training_data_have_a_digest_that_notices_a_change(toy, provenance):
    def digest():
        return trained(toy, provenance).content["training"]["sha256"]

    before = digest()
    toy.embeddings[0, 0] += 1
    changed = digest()
    toy.labels[[0, 1]] = toy.labels[[1, 0]]
    assert len({before, changed, digest()}) == 3


def test_only_methods_that_can_be_kept_are_trained(toy, provenance):
    with pytest.raises(InputError) as caught:
        trained(toy, provenance, method="majority")
    assert caught.value.id == "E_CONFIG"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": {"id": "some/model", "sha256": "9" * 64}}, "checkpoint"),
        ({"genes_sha256": "9" * 64}, "gene list"),
        ({"options": {"pooling": "max"}}, "pooling"),
        ({"model": None, "options": {}}, "checkpoint"),
    ],
)
def test_embeddings_of_another_origin_are_refused(toy, provenance, change, what):
    classifier = trained(toy, provenance)
    other = {k: v for k, v in {**provenance, **change}.items() if v is not None}
    with pytest.raises(InputError, match=what) as caught:
        apply(classifier, toy.embeddings, toy.cells, provenance=other)
    assert caught.value.id == "E_STORE_MISMATCH"


def test_another_hidden_size_is_refused(toy, provenance):
    with pytest.raises(InputError, match="hidden size") as caught:
        apply(trained(toy, provenance), toy.embeddings[:, :5], toy.cells, provenance=provenance)
    assert caught.value.id == "E_STORE_MISMATCH"


def test_another_precision_is_only_a_warning(toy, provenance, caplog):
    other = {**provenance, "resolved": {**provenance["resolved"], "precision": "bfloat16"}}
    classifier = trained(toy, provenance)
    table = apply(classifier, toy.embeddings, toy.cells, provenance=other)
    assert len(table) == 60
    assert "precision is bfloat16, was float32 in training" in caplog.text


def test_no_cells_and_broken_embeddings_are_refused(toy, provenance):
    classifier = trained(toy, provenance)
    for embeddings, id in [
        (toy.embeddings[:0], "E_NO_CELLS"),
        (np.full((2, 8), np.nan, np.float32), "E_NOT_FINITE"),
    ]:
        with pytest.raises(InputError) as caught:
            apply(classifier, embeddings, toy.cells[: len(embeddings)], provenance=provenance)
        assert caught.value.id == id


def test_missing_and_other_folders_are_told_apart(tmp_path):
    assert refused(tmp_path / "nowhere") == "E_FILE_MISSING"
    assert refused(tmp_path) == "E_FILE_FORMAT"
    (tmp_path / "classifier.json").write_text('{"format": 99}')
    assert refused(tmp_path) == "E_FILE_FORMAT"
    (tmp_path / "classifier.json").write_text("[1, 2")
    assert refused(tmp_path) == "E_FILE_DAMAGED"


def test_a_changed_array_and_a_changed_class_are_noticed(folder):
    arrays, text = folder / "arrays.npz", folder / "classifier.json"
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    whole = arrays.read_bytes()
    arrays.write_bytes(data)
    assert refused(folder) == "E_MODEL_HASH"
    arrays.write_bytes(whole)
    load_classifier(folder)
    text.write_text(text.read_text().replace('"NK"', '"NX"'))
    assert refused(folder) == "E_MODEL_HASH"


def test_a_folder_without_arrays_is_damaged(folder):
    (folder / "arrays.npz").unlink()
    assert refused(folder) == "E_FILE_DAMAGED"


class _Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_a_pickle_among_the_arrays_is_never_run(folder, tmp_path):
    forge(folder, coef=np.array([_Payload(str(tmp_path / "run"))], dtype=object))
    assert refused(folder) == "E_FILE_DAMAGED"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"coef": np.zeros((2, 8))},
        {"coef": np.zeros((3, 7))},
        {"intercept": np.zeros(2)},
        {"intercept": np.zeros((3, 1))},
        {"mean": np.zeros((8, 1))},
        {"scale": np.zeros(8)},
        {"scale": np.ones(7)},
        {"coef": np.full((3, 8), np.nan)},
        {"coef": np.zeros((3, 8), dtype=np.int64)},
        {"coef": np.zeros((3, 8), dtype=">f8")},
        {"coef": np.array("text")},
        {"extra": np.zeros(1)},
        {"coef": None},
    ],
    ids=lambda arrays: next(f"{k}-{getattr(v, 'shape', None)}" for k, v in arrays.items()),
)
def test_arrays_that_do_not_fit_are_damaged_also_with_fresh_checksums(folder, arrays):
    forge(folder, **arrays)
    assert refused(folder) == "E_FILE_DAMAGED"


@pytest.mark.parametrize(
    "arrays",
    [
        {"codes": np.full(60, 3)},
        {"codes": np.zeros(60, dtype=np.int64)},
        {"codes": np.full(60, -1)},
        {"codes": np.zeros(5, dtype=np.int64)},
        {"cells": np.zeros((60, 3))},
        {"cells": np.zeros((0, 8)), "codes": np.zeros(0, dtype=np.int64)},
    ],
    ids=str,
)
def test_neighbours_that_do_not_fit_are_damaged(toy, provenance, tmp_path, arrays):
    save_classifier(trained(toy, provenance, method="knn"), tmp_path / "c")
    forge(tmp_path / "c", **arrays)
    assert refused(tmp_path / "c") == "E_FILE_DAMAGED"


def judged_and_trained(toy, provenance, *, method="logistic", rows=slice(None), **options):
    judged = evaluate(
        toy.labels[rows],
        toy.cells[rows],
        methods=[method],
        embeddings=toy.embeddings[rows],
        draws=2,
    )
    return trained(toy, provenance, method=method, rows=rows, evaluation=judged, **options)


@pytest.fixture
def judged_folder(toy, provenance, tmp_path):
    ids = {"T": "CL:0000084"}
    save_classifier(judged_and_trained(toy, provenance, ontology=ids), tmp_path / "judged")
    return tmp_path / "judged"


@pytest.mark.parametrize("method", SKLEARN)
def test_calibrated_and_judged_it_calls_each_cell_as_scikit_learn_does(
    toy, make_toy, provenance, method
):
    classifier = judged_and_trained(toy, provenance, method=method)
    new = make_toy(seed=1)
    table = apply(classifier, new.embeddings, new.cells, provenance=provenance)
    scores = classifier.scores(new.embeddings)
    assert table["predicted"].tolist() == classifier.classes[scores.argmax(axis=1)].tolist()
    calibration = classifier.content["calibration"]
    expected = tempered(scores, calibration["temperature"], calibration["floor"])
    np.testing.assert_array_equal(table.filter(like="p_").to_numpy(), expected)
    rule = classifier.content["unknown"]
    unknown = table["probability"] < rule["threshold"]
    if rule["far_is_unknown"]:
        unknown |= table["distance"] > 1
    assert table["unknown"].tolist() == unknown.tolist()
    unit = classifier.content["similarity"]["unit"]
    expected = distances(classifier.arrays, new.embeddings) / unit
    np.testing.assert_array_equal(table["distance"], expected)


def test_judged_it_has_equal_bytes_in_any_order_of_cells(toy, provenance, tmp_path):
    save_classifier(judged_and_trained(toy, provenance), tmp_path / "one")
    order = np.random.default_rng(0).permutation(60)
    save_classifier(judged_and_trained(toy, provenance, rows=order), tmp_path / "two")
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"arrays.npz", "classifier.json", "README.md", "unknown.tsv"}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_threshold_is_the_users_if_one_is_given(toy, provenance):
    classifier = judged_and_trained(toy, provenance)

    def unknown(**options):
        table = apply(classifier, toy.embeddings, toy.cells, provenance=provenance, **options)
        assert table["unknown"].dtype == bool
        return table["unknown"].to_numpy(), table["probability"].to_numpy()

    assert not unknown(unknown=False)[0].any()
    assert not unknown(unknown_threshold=0)[0].any()
    flags, probability = unknown(unknown_threshold=1)
    assert (flags == (probability < 1)).all()
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(InputError) as caught:
            unknown(unknown_threshold=wrong)
        assert caught.value.id == "E_CONFIG"


def test_without_a_judgement_no_cell_is_unknown_and_that_is_said(toy, provenance, caplog):
    table = apply(trained(toy, provenance), toy.embeddings, toy.cells, provenance=provenance)
    assert not table["unknown"].any()
    assert table["distance"].isna().all()
    assert "no threshold was chosen" in caplog.text


def test_a_query_of_another_kind_is_warned_of(toy, make_toy, provenance, caplog):
    classifier, new = judged_and_trained(toy, provenance), make_toy(seed=1)
    apply(classifier, new.embeddings, new.cells, provenance=provenance, where="new cells")
    assert "lie farther" not in caplog.text
    apply(classifier, 5 * new.embeddings, new.cells, provenance=provenance, where="new cells")
    assert "new cells: 60 of 60 cells (100 %) lie farther" in caplog.text


def test_ontology_ids_are_stored_and_given_back(toy, provenance, judged_folder):
    classifier = load_classifier(judged_folder)
    assert "| T | 20 | CL\\:0000084 |" in (judged_folder / "README.md").read_text()
    table = apply(classifier, toy.embeddings, toy.cells, provenance=provenance)
    assert table.columns[5] == "ontology_id"
    found = table.set_index("predicted")["ontology_id"]
    assert set(found["T"]) == {"CL:0000084"}
    assert found["B"].isna().all()


def test_a_vote_stands_beside_what_was_predicted(toy, provenance, caplog):
    classifier = judged_and_trained(toy, provenance)
    given = {"provenance": provenance, "unknown_threshold": 0.9}
    plain = apply(classifier, toy.embeddings, toy.cells, **given)
    table = apply(classifier, toy.embeddings, toy.cells, vote=True, **given)
    pd.testing.assert_frame_equal(table.drop(columns=["neighbourhood", "voted"]), plain)
    found = neighbourhoods(toy.embeddings, toy.cells)[0]
    assert table["neighbourhood"].tolist() == found.tolist()
    for number, mine in table.groupby("neighbourhood"):
        counts = mine.loc[~mine["unknown"], "predicted"].value_counts()
        voted = set(mine["voted"])
        assert voted <= set(counts[counts == counts.max()].index) or counts.empty, number
        assert len(voted) == 1
    assert table.attrs["vote"]["resolution"] == 5
    assert "majority vote" in caplog.text


def test_the_whole_curve_is_in_the_folder(judged_folder):
    content = json.loads((judged_folder / "classifier.json").read_text())
    table = pd.read_csv(judged_folder / "unknown.tsv", sep="\t", float_precision="round_trip")
    pd.testing.assert_frame_equal(table, pd.DataFrame(content["unknown"]["curve"]))


def test_the_card_tells_what_sureness_and_distance_mean(judged_folder):
    card = (judged_folder / "README.md").read_text()
    for part in ("## Probabilities", "temperature", "called unknown", "## Similarity"):
        assert part in card
    assert "| NK | 9" in card or "| NK | 100.0%" in card


def test_a_folder_of_the_first_format_is_refused_with_what_to_do(folder):
    forge(folder, lambda content: content.update(format=1))
    with pytest.raises(InputError, match="says 1") as caught:
        load_classifier(folder)
    assert (caught.value.id, "train it anew" in caught.value.fix) == ("E_FILE_FORMAT", True)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("calibration"),
        lambda c: c["calibration"].update(temperature=0),
        lambda c: c["calibration"].update(temperature="1"),
        lambda c: c["calibration"].update(floor=0),
        lambda c: c["calibration"].pop("floor"),
        lambda c: c["unknown"].update(threshold=1.1),
        lambda c: c["unknown"].update(far_is_unknown="yes"),
        lambda c: c["unknown"].update(curve=[]),
        lambda c: c["unknown"].update(curve=[{}] * 3),
        lambda c: c["unknown"]["classes"].pop(),
        lambda c: c["unknown"]["classes"][0].update({"class": "<b>"}),
        lambda c: c["similarity"].update(unit=0),
        lambda c: c.update(similarity=None),
        lambda c: c.update(ontology={"T": "javascript:alert(1)"}),
        lambda c: c.update(ontology={"T": "CL:0000084\n"}),
        lambda c: c.update(ontology={"X": "CL:0000084"}),
        lambda c: c.update(ontology=None),
    ],
)
def test_what_was_learned_from_held_out_cells_is_checked(judged_folder, change):
    forge(judged_folder, change)
    assert refused(judged_folder) == "E_FILE_DAMAGED"


@pytest.mark.parametrize(
    "arrays",
    [
        {"whitening": np.zeros((7, 8))},
        {"whitening": np.full((8, 8), np.inf)},
        {"centroids": np.zeros((2, 8))},
        {"centroids": None},
    ],
    ids=str,
)
def test_distances_that_do_not_fit_are_damaged(judged_folder, arrays):
    forge(judged_folder, **arrays)
    assert refused(judged_folder) == "E_FILE_DAMAGED"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(classes=["T", "NK", "B"]),
        lambda c: c.update(classes=["B", "B", "T"]),
        lambda c: c.update(classes=["B", "NK"]),
        lambda c: c.update(classes=["B", "NK", 3]),
        lambda c: c.update(classes=["B", "NK", "\ud800"]),
        lambda c: c.update(support=[1, 2]),
        lambda c: c.update(method="../../elsewhere"),
        lambda c: c.update(method="majority"),
        lambda c: c.pop("embedding"),
        lambda c: c["embedding"].update(model="text"),
        lambda c: c["embedding"].update(options=[]),
        lambda c: c.update(metrics={"a": 1}),
    ],
)
def test_content_that_makes_no_sense_is_damaged(folder, change):
    content = json.loads((folder / "classifier.json").read_text())
    change(content)
    (folder / "classifier.json").write_text(json.dumps(content))
    assert refused(folder) == "E_FILE_DAMAGED"


@pytest.mark.parametrize(
    "text", ["", "null", "[" * 100_000, '{"format": NaN}', '{"format": 2, "method": 1e999}', "\x00"]
)
def test_odd_json_is_no_traceback(folder, text):
    (folder / "classifier.json").write_text(text)
    assert refused(folder) in ("E_FILE_DAMAGED", "E_FILE_FORMAT")


def test_deep_and_infinite_values_beside_good_ones_are_no_traceback(folder):
    text = (folder / "classifier.json").read_text()
    for value in ("1e999", "[" * 5_000 + "]" * 5_000):
        (folder / "classifier.json").write_text(text.replace("{", f'{{"x": {value},', 1))
        assert refused(folder) in ("E_FILE_DAMAGED", "E_MODEL_HASH")


def test_a_compressed_array_is_refused_before_it_is_unpacked(folder):
    with zipfile.ZipFile(folder / "arrays.npz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 8)))
    members["coef.npy"] = buffer.getvalue()
    with zipfile.ZipFile(folder / "arrays.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    forge(folder)
    assert refused(folder) == "E_FILE_DAMAGED"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_flipped_bytes_with_fresh_checksums_give_an_error_or_finite_arrays(folder, data):
    path = folder / "arrays.npz"
    whole = path.read_bytes()
    try:
        changed = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(changed)
        forge(folder)
        try:
            arrays, id = load_classifier(folder).arrays, None
        except InputError as error:
            arrays, id = {}, error.id
        assert id in (None, "E_FILE_DAMAGED")
        assert all(np.isfinite(array).all() for array in arrays.values())
    finally:
        path.write_bytes(whole)


def test_the_card_tells_use_data_metrics_and_limits(toy, provenance, tmp_path):
    judged = evaluate(
        toy.labels, toy.cells, methods=["logistic", "majority"], embeddings=toy.embeddings, draws=50
    )
    save_classifier(trained(toy, provenance, evaluation=judged), tmp_path / "c")
    card = (tmp_path / "c" / "README.md").read_text()
    for part in ("Intended use", "Training data", "Metrics", "Limits", "| NK | 20 |  |", "5 folds"):
        assert part in card
    assert "| logistic | macro\\_f1 | 1.000 | 1.000 to 1.000 |" in card
    stored = json.loads((tmp_path / "c" / "classifier.json").read_text())["metrics"]
    pooled = judged.metrics.query("fold == 'all'")
    assert [row["value"] for row in stored] == pooled["value"].tolist()


def test_a_demonstration_model_is_named_on_the_card(toy, provenance, tmp_path):
    provenance["model"] = {**provenance["model"], "demonstration": True}
    save_classifier(trained(toy, provenance), tmp_path / "c")
    assert "demonstration model" in (tmp_path / "c" / "README.md").read_text()


def test_a_label_is_text_on_the_card_and_never_markup(toy, provenance, tmp_path):
    evil = "<img src=x onerror=alert(1)> | [x](http://evil.example) **T**\n# head"
    labels = pd.Series(toy.labels).replace({"T": evil}).to_numpy()
    save_classifier(trained(toy, provenance, labels=labels), tmp_path / "c")
    card = (tmp_path / "c" / "README.md").read_text()
    assert "<img" not in card
    assert "](http" not in card
    assert "\n# head" not in card
    row = next(line for line in card.splitlines() if "onerror" in line)
    assert row.replace("\\|", "").count("|") == 4
    assert load_classifier(tmp_path / "c").classes.tolist() == sorted(["B", "NK", evil])
