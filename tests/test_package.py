"""The Python interface as its users know it: names, signatures, and the example that shows them."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from small import TINY, make_cells

import aidocell

SIGNATURES = {
    "read_counts": (["path"], ["layer", "gene_ids", "cells", "round"]),
    "align": (["adata"], ["genes", "gene_ids", "min_share"]),
    "load_model": (["name_or_folder"], ["revision", "accept_license", "attention", "device"]),
    "embed": (["model", "aligned"], ["pooling", "batch_size", "device", "precision", "attention"]),
    "preprocess": (["counts"], []),
    "read_store": (["path"], []),
    "verify": (["path"], []),
    "export": (["path", "output"], ["overwrite"]),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_public_function_has_its_arguments_options_by_keyword_and_a_docstring(name):
    function = getattr(aidocell, name)
    parameters = inspect.signature(function).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_keyword = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert (positional, by_keyword) == SIGNATURES[name]
    assert len(inspect.getdoc(function)) > 40
    assert all(p.default is not p.empty for p in parameters if p.kind is p.KEYWORD_ONLY)


def test_all_public_names_are_there_and_listed():
    for name in aidocell.__all__:
        assert getattr(aidocell, name) is not None
    assert set(SIGNATURES) <= set(aidocell.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'aidocell' has no attribute 'embedding_of'"):
        aidocell.embedding_of  # noqa: B018


def test_defaults_are_those_that_are_promised():
    def default(function, name):
        return inspect.signature(function).parameters[name].default

    assert default(aidocell.embed, "pooling") == "mean"
    assert default(aidocell.align, "min_share") == 0.5
    assert default(aidocell.read_counts, "layer") is None
    assert default(aidocell.load_model, "accept_license") is False


def test_errors_are_of_one_family():
    assert issubclass(aidocell.InputError, aidocell.AidocellError)
    assert issubclass(aidocell.MachineError, aidocell.AidocellError)


def test_the_example_of_the_python_interface_runs(tmp_path):
    make_cells(12).write_h5ad(tmp_path / "sample.h5ad")

    adata = aidocell.read_counts(tmp_path / "sample.h5ad", layer=None)
    model = aidocell.load_model(str(TINY))
    aligned = aidocell.align(adata, genes=model.genes)
    cells = aidocell.embed(model, aligned, pooling="mean")
    values = aidocell.preprocess(aligned.X.toarray())
    with torch.inference_mode():
        hidden = model(values)
        expression = model.predict_expression(values)

    genes, width = len(model.genes), model.config.hidden_size
    assert isinstance(model, torch.nn.Module)
    assert aligned.shape == (12, genes)
    assert aligned.X.format == "csr"
    assert aligned.var["measured"].all()
    assert cells.shape == (12, width)
    assert cells.dtype == np.float32
    assert values.shape == (12, genes + 2)
    assert hidden.shape == (12, genes + 2, width)
    assert expression.shape == (12, genes + 2)
    np.testing.assert_allclose(hidden[:, :-2].mean(1).numpy(), cells, rtol=0, atol=1e-5)


def test_masked_and_padded_positions_may_be_given():
    model = aidocell.load_model(str(TINY))
    values = torch.from_numpy(aidocell.preprocess(make_cells(2).X.toarray()))
    values[0, 5], values[1, 7] = -1, -2
    with torch.inference_mode():
        assert torch.isfinite(model.predict_expression(values)).all()


def test_a_store_that_a_command_wrote_is_read_verified_and_exported(tmp_path):
    from aidocell.standalone import embed_file

    make_cells(12).write_h5ad(tmp_path / "sample.h5ad")
    store = tmp_path / "embeddings.zarr.zip"
    embed_file(tmp_path / "sample.h5ad", str(TINY), store)
    adata = aidocell.read_store(store)
    assert adata.obsm["X_aidocell"].shape[0] == 12
    assert aidocell.verify(store) is None
    aidocell.export(store, tmp_path / "e.h5ad")
    with pytest.raises(aidocell.InputError, match="E_OUTPUT_EXISTS"):
        aidocell.export(store, tmp_path / "e.h5ad")
    store.write_bytes(store.read_bytes()[:-1])
    with pytest.raises(aidocell.InputError, match="E_STORE_DAMAGED"):
        aidocell.read_store(store)


def test_the_19264_genes_are_the_default():
    with pytest.raises(aidocell.InputError, match="E_STORE_MISMATCH"):
        aidocell.embed(aidocell.load_model(str(TINY)), aidocell.align(make_cells(3)))
    assert aidocell.align(make_cells(3)).n_vars == 19_264


def test_importing_a_light_part_costs_no_heavy_one(tmp_path):
    code = """
import sys
import aidocell.errors, aidocell.files, aidocell.provenance, aidocell.genes
print(sorted({"torch", "pandas", "anndata", "scipy"} & set(sys.modules)))
import aidocell.model
print(sorted({"pandas", "anndata", "scanpy", "huggingface_hub", "safetensors"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n[]\n"
