import numpy as np
import pytest
import torch
from small import TINY, make_cells

import aidocell
from aidocell.embedding import POOLINGS, pool
from aidocell.errors import InputError
from aidocell.model import load_model

GOLDEN = dict(np.load(TINY / "vectors.npz"))


@pytest.fixture(scope="module")
def model():
    return load_model(str(TINY))


@pytest.fixture(scope="module")
def aligned(model):
    return aidocell.align(make_cells(40), genes=model.genes)


@pytest.mark.parametrize(
    ("pooling", "array", "tolerance"),
    [
        ("mean", "pooled_genes_mean", 1e-5),
        ("max", "pooled_genes_max", 3e-5),
        ("measured", "pooled_present", 1e-5),
    ],
)
def test_golden_cells_pool_to_the_golden_vectors(model, aligned, pooling, array, tolerance):
    # only five of the golden cells are whole counts, which is all that a store holds
    whole = [0, 1, 2, 3, 4]
    cells = aligned[:5].copy()
    cells.X = GOLDEN["counts"][whole].astype(np.int64)
    cells.var["measured"] = GOLDEN["present"]
    embedded = aidocell.embed(model, cells, pooling=pooling)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(embedded, GOLDEN[array][whole], rtol=0, atol=tolerance)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_equals_its_definition_on_hidden_states(model, aligned, pooling):
    cells = aligned[:4]
    counts = cells.X.toarray()
    measured = np.arange(256) % 3 > 0
    cells.var["measured"] = measured
    with torch.inference_mode():
        hidden = model(aidocell.preprocess(counts)).numpy()
    genes, depth = hidden[:, :-2], hidden[:, -2:]
    expected = {
        "mean": genes.mean(1),
        "max": genes.max(1),
        "measured": np.concatenate([genes[:, measured], depth], 1).mean(1),
        "measured_genes": genes[:, measured].mean(1),
        "expressed": np.stack([g[c > 0].mean(0) for g, c in zip(genes, counts, strict=True)]),
    }[pooling]
    found = aidocell.embed(model, cells, pooling=pooling)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_embeddings_do_not_depend_on_the_batch_bit_by_bit(model, aligned):
    one, seven, all_at_once = (
        aidocell.embed(model, aligned, batch_size=size) for size in (1, 7, 32)
    )
    assert np.array_equal(one, seven)
    assert np.array_equal(one, all_at_once)


def test_embeddings_do_not_depend_on_the_order_of_cells_bit_by_bit(model, aligned):
    order = np.random.default_rng(0).permutation(aligned.n_obs)
    assert np.array_equal(
        aidocell.embed(model, aligned[order]), aidocell.embed(model, aligned)[order]
    )


def test_bfloat16_is_near_and_not_equal(model, aligned):
    exact = aidocell.embed(model, aligned[:8])
    rounded = aidocell.embed(model, aligned[:8], precision="bfloat16")
    assert 0 < np.abs(exact - rounded).max() < 0.05


def test_attention_backends_agree(model, aligned):
    fused = aidocell.embed(model, aligned[:8], attention="sdpa")
    plain = aidocell.embed(model, aligned[:8], attention="reference")
    np.testing.assert_allclose(fused, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pooling": "median"}, "unknown pooling 'median'.*mean, max"),
        ({"device": "tpu"}, "unknown device"),
        ({"precision": "float16"}, "unknown precision"),
        ({"attention": "flash"}, "flash-attn"),
        ({"attention": "linear"}, "attention backend"),
        ({"batch_size": 0}, "batch size"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(model, aligned, options, text):
    with pytest.raises(InputError, match=f"E_USAGE.*{text}"):
        aidocell.embed(model, aligned, **options)


def test_counts_over_other_genes_are_refused(model):
    with pytest.raises(InputError, match="E_STORE_MISMATCH"):
        aidocell.embed(model, make_cells(3)[:, ::-1])


def test_a_cell_without_counts_is_an_error_not_a_nan(model, aligned):
    cells = aligned[:3].copy()
    cells.X[1] = 0
    with pytest.raises(InputError, match="E_EMPTY_CELLS"):
        aidocell.embed(model, cells)


def test_no_cells_give_an_empty_table(model, aligned):
    assert aidocell.embed(model, aligned[:0]).shape == (0, model.config.hidden_size)


def test_pooling_a_name_that_is_none_is_a_bug_not_a_guess():
    hidden = torch.zeros(1, 5, 2)
    with pytest.raises(ValueError, match="median"):
        pool(hidden, "median", measured=torch.ones(3).bool(), expressed=torch.ones(1, 3).bool())
