"""The published figures are those of the sources, to the digit."""

from aidocell.baselines import METHODS
from aidocell.benchmark.published import WITHOUT_WEIGHTS, published

CARD = {
    "AIDO.Cell-100M": (0.761, 0.910),
    "scFoundation-100M": (0.736, 0.914),
    "scBERT": (0.67, 0.67),
    "CellTypist": (0.725, 0.812),
    "scANVI": (0.395, 0.521),
    "ACTINN": (0.649, 0.722),
    "Scanpy": (0.547, 0.540),
    "SingleCellNet": (0.598, 0.806),
}


def figures(task, dataset, metric):
    return {
        f.name: f.value
        for f in published()
        if (f.task, f.dataset, f.metric) == (task, dataset, metric)
    }


def test_the_table_of_cell_types_is_that_of_the_model_card():
    for place, dataset in enumerate(("Zheng68K", "Segerstolpe")):
        expected = {name: values[place] for name, values in CARD.items()}
        assert figures("classification", dataset, "macro_f1") == expected


def test_the_clustering_figures_are_those_of_cz_benchmarks():
    found = {m: figures("clustering", "human spermatogenesis", m) for m in ("ari", "nmi")}
    assert found["ari"] == {"AIDO.Cell-3M": 0.239, "PCA": 0.470}
    assert found["nmi"] == {"AIDO.Cell-3M": 0.514, "PCA": 0.725}


def test_there_is_no_other_figure_and_each_has_its_source():
    assert len(published()) == 2 * len(CARD) + 4
    assert all(figure.source for figure in published())


def test_every_figure_has_a_method_that_regenerates_it_or_a_reason_why_none_does():
    for figure in published():
        if figure.task == "clustering":
            assert figure.method in ("embedding", "pca")
        else:
            assert (figure.method in METHODS) != (figure.name in WITHOUT_WEIGHTS)
