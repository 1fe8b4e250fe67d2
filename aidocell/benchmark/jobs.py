"""The jobs of ``snakemake benchmark``, each by what :class:`aidocell.benchmark.plan.Plan` says of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aidocell.benchmark.config import Run
from aidocell.benchmark.sources import Sources, write_run
from aidocell.train.options import Network

__all__ = ["embed", "prepare", "run"]


def prepare(folder: str | Path, about: Mapping[str, Any]) -> None:
    """Fetch and align a data set, by :meth:`Plan.about_data`."""
    from aidocell.benchmark.data import prepare_clustering, prepare_dataset

    job = prepare_dataset if about["split"] else prepare_clustering
    job(folder, about["dataset"], min_share=about["min_gene_share"])


def embed(folder: str | Path, about: Mapping[str, Any], *, data: str, record: str) -> None:
    """Embed a data set, by :meth:`Plan.about_embedding`."""
    from aidocell.benchmark.models import embed_dataset

    embed_dataset(
        folder,
        data=data,
        record=record,
        options=about["options"],
        revision=about["model_revision"],
        accept_license=about["accept_model_license"],
    )


def run(
    folder: str | Path,
    about: Mapping[str, Any],
    seed: int,
    *,
    data: str,
    embeddings: str | None = None,
    record: str | None = None,
) -> None:
    """Run a method, or cluster a representation, with one seed, by :meth:`Plan.about_run`."""
    planned = Run(about["name"], about["method"], about["model"])
    sources = Sources(
        data=Path(data),
        embeddings=Path(embeddings) if embeddings else None,
        model=Path(record) if record else None,
    )
    work = partial(_judge if about["split"] else _cluster, about, planned, sources, seed)
    write_run(folder, planned, sources, seed, work)


def _judge(
    about: Mapping[str, Any], planned: Run, sources: Sources, seed: int, folder: Path
) -> dict[str, Any]:
    from aidocell.benchmark.runs import judge_method

    return judge_method(
        folder,
        planned,
        sources,
        label=about["label"],
        seed=seed,
        draws=about["bootstrap_draws"],
        settings={"reference": about.get("reference"), "network": _network(about)},
        device=about.get("embed", {}).get("device", "cpu"),
    )


def _cluster(
    about: Mapping[str, Any], planned: Run, sources: Sources, seed: int, folder: Path
) -> dict[str, Any]:
    from aidocell.benchmark.clusterings import cluster_dataset

    how = {name: about[name] for name in ("label", "neighbours", "max_cells")}
    return cluster_dataset(folder, planned, sources, seed=seed, **how)


def _network(about: Mapping[str, Any]) -> Network | None:
    if "finetune" not in about:
        return None
    from aidocell.stages.finetune import finetune_options

    computed = {name: about["embed"][name] for name in ("device", "precision", "attention")}
    return Network(
        model=about["model"],
        revision=about["model_revision"],
        accept_license=about["accept_model_license"],
        options=finetune_options(about["finetune"], **computed),
    )
