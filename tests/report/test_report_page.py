"""The pages as text: what is in them, what must never be, and how large they get."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import make_results as mr
import numpy as np
import pandas as pd
import pytest

from aidocell.report import load_study, render, write_report
from aidocell.report.cellmap import CellMap
from aidocell.report.page import SECTIONS
from aidocell.report.qcsummary import summarise

ALL_PAGES = ["report.html", *(f"samples/{row['sample']}.html" for row in mr.SHEET)]


class Elements(HTMLParser):
    """All elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def named(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("page", ALL_PAGES)
def test_names_from_files_are_text_and_never_markup(made, page):
    elements = Elements(made.page(page))
    assert elements.named("img") == []
    attributes = {name for _, attributes in elements.found for name in attributes}
    assert not [name for name in attributes if name.startswith("on")]
    scripts = elements.named("script")
    assert len([s for s in scripts if s.get("type") != "application/json"]) == 1
    assert len(scripts) <= 2


@pytest.mark.parametrize("page", ALL_PAGES)
def test_a_page_has_every_section_and_refers_to_nothing_outside(made, page):
    text = made.page(page)
    elements = Elements(text)
    assert [s["id"] for s in elements.named("section")] == list(SECTIONS)
    assert not elements.named("link")
    assert not [a for _, a in elements.found if "src" in a]
    assert "default-src 'none'" in text
    assert not re.search(r"url\(\s*['\"]?(https?:)?//", text)


def test_contents_lead_to_sections_and_rows_to_pages(made):
    links = [a["href"] for a in Elements(made.page()).named("a")]
    assert [f"#{name}" for name in SECTIONS] == [h for h in links if h.startswith("#")][1:10]
    for row in mr.SHEET:
        assert f"samples/{row['sample']}.html" in links
        assert (made.report / "samples" / f"{row['sample']}.html").is_file()


def test_the_page_of_a_sample_names_no_other_sample(made):
    assert "pbmc_b" not in made.page("samples/pbmc_a.html")
    assert "pbmc_a" not in made.page("samples/pbmc_b.html")
    assert "pbmc_" not in made.page("samples/spleen.html")


def test_every_figure_has_a_title_a_caption_and_an_alternative_text(made):
    text = made.page()
    figures = re.findall(r"<figure.*?</figure>", text, re.S)
    assert len(figures) > 8
    for figure in figures:
        assert "<h3>" in figure
        assert "<figcaption>" in figure
        assert re.search(r'role="img"[^>]*aria-label="[^"]{20,}', figure) or re.search(
            r'aria-label="[^"]{20,}"[^>]*role="img"', figure
        )


def test_a_demonstration_model_wears_its_banner_with_the_line_that_changes_it(made):
    for page in ALL_PAGES:
        assert "Demonstration model." in made.page(page)
        assert "<code>model: genbio-ai/AIDO.Cell-3M</code>" in made.page(page)
    real = replace(made.study, model={**mr.MODEL, "demonstration": False})
    assert "Demonstration model." not in render(real)


def test_figures_of_the_checkpoints_card_stand_in_a_column_of_their_own(made):
    row = re.search(r'<tr><th scope="row">untrained</th>.*?</tr>', made.page(), re.S)[0]
    cells = re.findall(r"<td.*?</td>", row, re.S)
    assert "not run here" in cells[1]
    assert ">0.53<" in cells[-1]
    assert "(logistic regression, 5-fold; 216 cells; median of 3 seeds)" in made.page()


def test_a_refused_sample_is_listed_with_its_error_before_the_tables(made):
    text = made.page()
    first = text[: text.index('id="samples"')]
    assert "E_NOT_COUNTS" in first
    assert "give the layer" in first


def test_sections_without_results_say_why_and_which_key_fills_them(tmp_path):
    write_report(tmp_path / "none", [{"sample": "a"}], tmp_path / "report", config={})
    text = (tmp_path / "report" / "report.html").read_text()
    assert text.count('class="empty"') >= 5
    assert "<code>annotate: label</code>" in text
    assert "qc_only" in text


def test_shards_of_an_earlier_plan_do_not_count_as_time_of_this_run(made):
    embedding = [job for job in made.study.jobs if job.stage == "embed_shard"]
    assert len(embedding) == 6
    assert max(job.seconds for job in embedding) == 48


def test_labels_that_look_like_formulas_read_as_they_were_given(made):
    assert mr.FORMULA in made.study.annotation.labels
    assert set(made.study.annotation.predictions["true"]) == set(made.study.annotation.labels)


def test_equal_results_give_equal_pages(made, tmp_path):
    write_report(
        mr_results := made.results,
        mr.SHEET,
        tmp_path / "again",
        config=mr.CONFIG,
        command="snakemake --cores 2",
    )
    assert mr_results.is_dir()
    for page in ALL_PAGES:
        assert (tmp_path / "again" / page).read_text() == made.page(page)


def test_a_million_cells_make_a_page_under_twenty_megabytes(made):
    cells = 1_000_000
    qc = summarise(mr.qc_table(pd.RangeIndex(cells).astype(str), np.random.default_rng(0)))
    samples = tuple(
        replace(made.study.samples[0], name=f"sample{place:02d}", qc=qc) for place in range(10)
    )
    page = render(replace(made.study, samples=samples, cells=_large_map(20_000, cells)))
    assert len(page.encode()) < 6e6
    assert "20,000 cells, drawn by lot from 1,000,000" in page


def _large_map(shown: int, cells: int) -> CellMap:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(shown, 2)), columns=["x", "y"])
    table.insert(0, "sample", "sample00")
    for name in ("total_counts", "n_genes_by_counts", "pct_counts_mt"):
        table[name] = rng.normal(size=shown)
    table.index = [f"sample00:ACGTACGTACGTACGT-{i}" for i in range(shown)]
    return CellMap(table, cells, "umap")


def test_the_map_carries_names_as_they_are_without_closing_the_script(made):
    text = made.page()
    data = re.search(r'<script type="application/json" id="map-data">(.*?)</script>', text, re.S)[1]
    assert "<" not in data
    fields = {f["title"]: f for f in json.loads(data)["fields"]}
    assert [g["name"] for g in fields["predicted type"]["groups"]] == list(
        made.study.annotation.labels
    )
    assert mr.SCRIPT in [g["name"] for g in fields["batch"]["groups"]]
    assert "cell_type" not in fields


def test_labels_keep_their_colour_in_all_figures(made):
    text = made.page()
    data = json.loads(re.search(r'id="map-data">(.*?)</script>', text, re.S)[1])
    for group in data["fields"][0]["groups"]:
        if group["name"] == "CD4 T":
            assert f'fill="{group["colour"]}" data-label="CD4 T" data-tip="pbmc_a: CD4 T' in text


def test_an_unknown_key_of_the_report_is_refused(tmp_path):
    from aidocell.errors import InputError

    with pytest.raises(InputError, match="E_CONFIG"):
        load_study(tmp_path, [], config={"report": {"colour": "red"}})
