"""Batches are a function of seed and epoch; cells that judge epochs are none that is learned from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from aidocell.errors import InputError
from aidocell.train.finetune_cells import Cells, balanced_weights, step_batches


def many(cells=100, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.array(["a", "b", "c"], dtype=object)[generator.integers(0, 3, cells)]
    return sparse.csr_matrix(generator.poisson(1.0, (cells, 30))), labels


def of(counts, labels, *, groups=None, validation=None, share=0.1, seed=0):
    return Cells.of(counts, labels, groups=groups, validation=validation, share=share, seed=seed)


def rows(counts):
    return {tuple(row) for row in counts.toarray()}


@pytest.mark.parametrize("cells", [1, 7, 16, 17, 50])
@pytest.mark.parametrize(("accumulate", "devices"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_every_cell_comes_once_an_epoch_in_steps_of_equal_size(cells, accumulate, devices):
    steps = step_batches(
        cells, epoch=1, seed=2, batch_size=4, accumulate=accumulate, devices=devices
    )
    assert all(len(step) == accumulate * devices for step in steps)
    assert sorted(np.concatenate([rows for step in steps for rows in step])) == list(range(cells))
    sizes = [sum(map(len, step)) for step in steps]
    assert max(sizes) - min(sizes) <= 1
    assert max(len(rows) for step in steps for rows in step) <= 4


def test_epochs_differ_and_each_is_the_same_every_time():
    first, again, other = (
        step_batches(40, epoch=epoch, seed=0, batch_size=8, accumulate=1, devices=1)[0][0]
        for epoch in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_steps_hold_the_same_cells_however_they_are_cut():
    whole = step_batches(50, epoch=0, seed=0, batch_size=12, accumulate=1, devices=1)
    for batch_size, accumulate, devices in [(4, 3, 1), (6, 1, 2), (3, 2, 2)]:
        cut = step_batches(
            50, epoch=0, seed=0, batch_size=batch_size, accumulate=accumulate, devices=devices
        )
        for one, other in zip(whole, cut, strict=True):
            np.testing.assert_array_equal(np.concatenate(one), np.concatenate(other))


def test_about_the_asked_share_of_every_class_is_set_apart():
    chosen = of(*many(200), share=0.1)
    assert chosen.set_apart == "by cell"
    shares = np.bincount(chosen.validation.codes) / np.bincount(
        np.concatenate([chosen.train.codes, chosen.validation.codes])
    )
    assert np.allclose(shares, 0.1, atol=0.02)
    assert not rows(chosen.train.counts) & rows(chosen.validation.counts)


def test_whole_donors_are_set_apart_where_they_are_given():
    counts, labels = many(200)
    donors = np.array([f"d{i % 5}" for i in range(200)], dtype=object)
    chosen = of(counts, labels, groups=donors, share=0.2)
    assert chosen.set_apart == "by group"
    donor_of = dict(zip(map(tuple, counts.toarray()), donors, strict=True))
    judged = {donor_of[row] for row in rows(chosen.validation.counts)}
    learned = {donor_of[row] for row in rows(chosen.train.counts)}
    assert judged
    assert not judged & learned


def test_equal_cells_stay_on_one_side():
    counts, labels = many(30)
    doubled = of(sparse.vstack([counts, counts]), np.concatenate([labels, labels]), share=0.3)
    assert len(doubled.validation)
    assert not rows(doubled.train.counts) & rows(doubled.validation.counts)


def test_a_class_of_one_cell_is_learned_and_not_set_apart():
    counts, labels = many(60)
    labels[0] = "rare"
    for seed in range(5):
        chosen = of(counts, labels, seed=seed)
        assert 3 in chosen.train.codes
        assert chosen.classes.tolist() == ["a", "b", "c", "rare"]


def test_validation_cells_of_a_class_that_is_not_learned_are_left_out(caplog):
    counts, labels = many(60)
    given = (counts[:4], np.array(["a", "b", "new", "c"], dtype=object))
    chosen = of(counts, labels, validation=given)
    assert len(chosen.validation) == 3
    assert len(chosen.train) == 60
    assert "new" in caplog.text


def test_the_digest_tells_counts_labels_groups_and_validation_apart_and_not_their_order():
    counts, labels = many(20)
    groups = np.array(["x", "y"] * 10, dtype=object)
    order = np.arange(20)[::-1]
    base = of(counts, labels, share=0).digest
    assert of(counts[order], labels[order], share=0).digest == base
    assert of(counts.astype(np.float32), labels, share=0).digest == base
    changed = counts.copy()
    changed.data[0] += 1
    others = [
        of(changed, labels, share=0),
        of(counts, labels[order], share=0),
        of(counts, labels, groups=groups, share=0),
        of(counts, labels, validation=(counts[:2], labels[:2])),
    ]
    assert len({base, *(other.digest for other in others)}) == 5


def test_balanced_weights_let_every_class_count_the_same():
    codes = np.array([0, 0, 0, 1])
    weights = balanced_weights(codes, 3)
    assert weights[0] * 3 == pytest.approx(weights[1])
    assert weights[codes].mean() == pytest.approx(1)


def test_one_class_and_lists_of_other_lengths_are_refused():
    counts, labels = many(10)
    with pytest.raises(InputError, match="E_LABEL_CLASSES"):
        of(counts, np.array(["a"] * 10, dtype=object))
    with pytest.raises(InputError, match="E_MATRIX_SHAPE"):
        of(counts, labels[:5])
