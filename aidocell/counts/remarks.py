"""Warnings about a file that is accepted, and its audit as text for people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["DEEP", "describe", "remarks"]

DEEP = 100_000  # counts: more than one cell has
_FEW_GENES = 200  # median per cell
_OVERLAP = 0.8  # share of UMIs on known genes
_MEASURED = 0.5  # share of the vocabulary
_EVEN = 0.1  # share of cells within one per cent of the largest total
_EVEN_CELLS = 20  # fewer say nothing about a distribution

_ROUTE_NAMES = {
    "ensembl_id": "by Ensembl id",
    "symbol": "by vocabulary symbol",
    "approved": "by approved symbol",
    "previous": "by previous symbol",
    "alias": "by alias",
    "ambiguous": "ambiguous, left out",
    "chrM": "__chrM duplicates, left out",
    "other_species": "other species, left out",
    "unresolved": "not known, left out",
}


def remarks(audit: dict, *, cell_umis: np.ndarray) -> list[dict]:
    """Warnings in a fixed order: a short id and a sentence each.

    Parameters
    ----------
    audit
        All other parts of the audit.
    cell_umis
        Total counts of each cell.
    """
    found = (*_about_cells(audit), *_about_genes(audit), *_about_totals(cell_umis))
    return [{"id": id, "text": text} for id, text in found]


def _about_cells(audit: dict) -> Iterator[tuple[str, str]]:
    empty = audit["empty_cells"]
    if empty["n"]:
        first = ", ".join(empty["first"])
        yield (
            "empty-cells",
            f"{empty['n']:,} cells have no count in the vocabulary and will be left out: {first}"
            + (", …" if empty["n"] > len(empty["first"]) else ""),
        )
    if audit["deep_cells"]:
        yield (
            "deep-cells",
            f"{audit['deep_cells']:,} cells have more than {DEEP:,} counts: are they single cells?",
        )
    if audit["median_genes"] < _FEW_GENES:
        yield (
            "few-genes-per-cell",
            f"half of the cells have {audit['median_genes']:,.0f} genes with a count or fewer:"
            " very few for a transcriptome",
        )


def _about_genes(audit: dict) -> Iterator[tuple[str, str]]:
    share, measured, all_genes = audit["share_resolved"], audit["measured"], audit["vocabulary"]
    if share < _OVERLAP or measured < _MEASURED * all_genes:
        yield (
            "low-overlap",
            f"{share:.1%} of the UMIs are on genes that the model knows, and {measured:,} of its"
            f" {all_genes:,} genes were measured",
        )
    if n := audit["routes"]["ambiguous"]["genes"]:
        names = ", ".join(row["name"] for row in audit["ambiguous"][:5])
        umis = audit["routes"]["ambiguous"]["umis"]
        yield (
            "ambiguous-symbols",
            f"{n:,} symbols stand for several genes and were left out ({umis:,} UMIs): {names}",
        )
    if n := audit["conflicts_total"]:
        conflict = audit["conflicts"][0]
        yield (
            "id-symbol-conflicts",
            f"{n:,} rows have an Ensembl id and a symbol of different genes; the id was followed,"
            f" for example {conflict['id']} ({conflict['kept']}) over {conflict['symbol']}",
        )
    if n := audit["routes"]["other_species"]["genes"]:
        yield "other-species", f"{n:,} rows have names of another species and were left out"


def _about_totals(cell_umis: np.ndarray) -> Iterator[tuple[str, str]]:
    """Libraries differ in depth from cell to cell; down-sampling and rescaling even that out."""
    largest = cell_umis.max(initial=0)
    even = int((cell_umis >= 0.99 * largest).sum())
    if largest and len(cell_umis) >= _EVEN_CELLS and even >= _EVEN * len(cell_umis):
        yield (
            "even-totals",
            f"{even:,} of {len(cell_umis):,} cells have the same total of about {largest:,}"
            " counts: they look down-sampled, or normalised and rounded",
        )


def describe(audit: dict) -> str:
    """An audit as text of several lines, accepted or refused."""
    if not audit["accepted"]:
        error = audit["error"]
        return f"{audit['path']}: refused\n  {error['id']}: {error['what']}; {error['fix']}"
    lines = [f"{audit['path']}: accepted", *_figures(audit), *_routes(audit), *_lists(audit)]
    lines += [f"warning ({warning['id']}): {warning['text']}" for warning in audit["warnings"]]
    return "\n  ".join(lines)


def _figures(audit: dict) -> Iterator[str]:
    layer = f", layer {audit['layer']}" if audit["layer"] else ""
    yield (
        f"{audit['format']}{layer}: {audit['cells']:,} cells × {audit['genes']:,} genes,"
        f" {audit['umis']:,} UMIs, {audit['nonzero']:,} non-zero"
    )
    yield (
        f"median per cell: {audit['median_counts']:,.0f} UMIs, {audit['median_genes']:,.0f} genes"
    )
    columns = [f"{kind} from {name}" for kind, name in audit["gene_columns"].items() if name]
    yield "names: " + ", ".join(columns)
    if len(audit["feature_types"]) > 1:
        types = (f"{kind} {n:,}" for kind, n in audit["feature_types"].items())
        yield "features: " + ", ".join(types) + " (gene expression is read)"
    if audit["other_genome_rows"]:
        yield f"rows of another genome, left out: {audit['other_genome_rows']:,}"
    if audit["rounded"]:
        yield "estimated counts were rounded"


def _routes(audit: dict) -> Iterator[str]:
    yield (
        f"{audit['measured']:,} of the model's {audit['vocabulary']:,} genes measured,"
        f" {audit['share_resolved']:.2%} of UMIs on them"
    )
    for route, found in audit["routes"].items():
        if found["genes"]:
            yield (
                f"  {_ROUTE_NAMES[route]}: {found['genes']:,} rows,"
                f" {found['umis']:,} UMIs ({found['share']:.2%})"
            )


def _lists(audit: dict) -> Iterator[str]:
    if audit["added_up_genes"]:
        added = [f"{entry['gene']} ({' + '.join(entry['rows'])})" for entry in audit["added_up"]]
        yield f"genes with several rows, added up: {audit['added_up_genes']:,}: " + _some(added)
    for title, key in (("ambiguous", "ambiguous"), ("most counts not known", "unresolved_top")):
        entries = [f"{entry['name']} ({entry['umis']:,} UMIs)" for entry in audit[key]]
        if entries:
            yield f"{title}: " + _some(entries)


def _some(entries: list[str]) -> str:
    return ", ".join(entries[:5]) + (", …" if len(entries) > 5 else "")
