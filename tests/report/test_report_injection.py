"""Forty strings that try to be more than text, wherever a user's text goes in a report."""

from __future__ import annotations

import json

import make_results
import pytest

pytest.importorskip("selenium")

from selenium.webdriver.common.by import By
from test_report_browser import browser, pytestmark  # noqa: F401  the set-up of a silent browser

from aidocell.records import read_record, write_record
from aidocell.report import write_report

RUN = "window.canary=1"
STRINGS = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"<img src=http://canary.invalid/a onload={RUN}>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"</svg><script>{RUN}</script>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<title>x</title><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"<!--<script>{RUN}",
    "<!--<script>",
    f'"><script>{RUN}</script>',
    f"'><script>{RUN}</script>",
    f'" onmouseover="{RUN}" autofocus onfocus="{RUN}" x="',
    f"' onfocus='{RUN}' autofocus tabindex='1",
    f"` onerror=`{RUN}",
    f"javascript:{RUN}",
    f'<a href="javascript:{RUN}">x</a>',
    "<iframe srcdoc='<script>parent.canary=1</script>'>",
    f'<iframe src="javascript:parent.{RUN}">',
    "<object data=http://canary.invalid/b>",
    "<embed src=http://canary.invalid/c>",
    '<link rel=stylesheet href="http://canary.invalid/d">',
    "<style>@import 'http://canary.invalid/e';</style>",
    'x;background:url("http://canary.invalid/f")',
    '<base href="http://canary.invalid/">',
    f"<details open ontoggle={RUN}>x",
    f"<video><source onerror={RUN}></video>",
    f"<input autofocus onfocus={RUN}>",
    f"<math><mtext></mtext><script>{RUN}</script></math>",
    f"{{{{ {RUN} }}}}{{% for x in y %}}",
    f"${{{RUN}}}\\u003cscript>",
    f"\u2028{RUN}//\u2029",
    f"';{RUN};//",
    f'\\";{RUN};//',
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}",
    f"<scr\0ipt>{RUN}</script>",
    f"＜script＞{RUN}",
    f"\u202e<script>{RUN}</script>",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a study whose every name is one of the strings."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_results, "LABELS", ["CD4 T", *STRINGS[:4], STRINGS[18]])
        results = make_results.make_results(folder / "results", cells=90)
    for name in make_results.KEYS:
        path = results / "samples" / name / "audit.json"
        write_record(path, {**read_record(path), **hostile_audit()})
    sheet = [
        {**row, **{f"c{i} {text}": text for i, text in enumerate(STRINGS)}}
        for row in make_results.SHEET
    ]
    config = {**make_results.CONFIG, "report": {"title": STRINGS[9]}}
    write_report(results, sheet, folder / "report", config=config, command=STRINGS[0])
    return folder / "report"


def hostile_audit() -> dict:
    return {
        "path": "".join(STRINGS),
        "feature_types": {"Gene Expression": 9, **dict.fromkeys(STRINGS, 1)},
        "ambiguous": [{"name": text, "umis": 9} for text in STRINGS],
        "unresolved_top": [{"name": text, "umis": 900 - i} for i, text in enumerate(STRINGS)],
        "added_up": [{"gene": text, "rows": [text, text]} for text in STRINGS],
        "conflicts": [
            {"row": 7, "id": text, "symbol": text, "kept": text, "other": text} for text in STRINGS
        ],
        "warnings": [{"id": "few-genes", "text": text} for text in STRINGS],
    }


def test_there_are_at_least_forty_strings():
    assert len(set(STRINGS)) >= 40


@pytest.mark.parametrize("page", ["report.html", "samples/pbmc_a.html", "samples/spleen.html"])
def test_nothing_of_a_users_text_runs_or_asks_for_anything(browser, report, page):  # noqa: F811
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get((report / page).as_uri())
    for element in browser.find_elements(By.CSS_SELECTOR, "details"):
        browser.execute_script("arguments[0].open = true", element)
    ran, images, frames, foreign = browser.execute_script(
        "return [window.canary === undefined, document.images.length, frames.length,"
        "document.querySelectorAll('object, embed, base, link[href], math, video').length]"
    )
    assert ran
    assert (images, frames, foreign) == (0, 0, 0)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert urls == [(report / page).as_uri()]


def test_a_users_text_is_shown_as_it_is(browser, report):  # noqa: F811
    browser.get((report / "samples" / "pbmc_a.html").as_uri())
    shown = browser.execute_script("return document.body.textContent")
    assert STRINGS[0] in shown
    assert STRINGS[2] in shown
    assert STRINGS[40] in shown
