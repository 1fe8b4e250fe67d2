"""Embeddings are the same bytes however the work is cut and however much of it runs at once."""

import hashlib

import pytest
from small import make_cells
from studies import Study

CELLS = 1100


@pytest.mark.workflow
@pytest.mark.long
@pytest.mark.timeout(3000)
def test_embeddings_are_the_same_bytes_for_any_shard_size_and_number_of_jobs(tmp_path):
    source = tmp_path / "cells.h5ad"
    make_cells(CELLS, seed=3).write_h5ad(source)
    digests = set()
    for size in (64, 1000, CELLS):
        for jobs in (1, 4):
            study = Study(tmp_path / f"{size}-{jobs}")
            study.list_samples(f"a\t{source}")
            study.configure(embed={"shard_cells": size}, qc={"min_genes": 1})
            study.snakemake("embeddings_only", "--cores", str(jobs), "--resources", f"gpu={jobs}")
            assert len(study.times("samples/a/shards/*/*.zarr.zip")) == -(-CELLS // size)
            made = study.results / "samples/a/embeddings.zarr.zip"
            digests.add(hashlib.sha256(made.read_bytes()).hexdigest())
    assert len(digests) == 1
