"""The report as a browser shows it: drawn, silent, offline, and usable."""

import json
import shutil
import time

import pytest

pytest.importorskip("selenium")

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)
PAGES = ["report.html", "samples/pbmc_a.html", "samples/spleen.html"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = Options()
    options.binary_location = CHROMIUM
    for argument in (*_QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, made):
    def go(page="report.html"):
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get((made.report / page).as_uri())
        return browser

    return go


def _click(browser, element):
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def _drawn(browser) -> int:
    """Pixels of the map that are not white."""
    return browser.execute_script(
        "const c = document.getElementById('map-canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i] + d[i+1] + d[i+2] < 740) n += 1;"
        "return n;"
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_errors_and_runs_nothing_from_names(opened, page):
    browser = opened(page)
    # an alert would block this call with an error of its own
    assert browser.execute_script("return document.images.length") == 0
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("page", PAGES)
def test_no_request_leaves_a_page(opened, page):
    browser = opened(page)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in urls if not url.startswith("file:")] == []
    assert len(urls) == 1


def test_figures_are_drawn(opened):
    browser = opened()
    sizes = browser.execute_script(
        "return Array.from(document.querySelectorAll('.method:not([hidden]) svg.plot, #qc > * > figure svg.plot'))"
        ".map((s) => [s.getBoundingClientRect().width, s.querySelectorAll('rect, circle').length])"
    )
    assert len(sizes) >= 5
    assert all(width > 200 and shapes > 2 for width, shapes in sizes)
    assert _drawn(browser) > 1000


def test_the_page_fits_a_laptop_without_scrolling_sideways(opened):
    browser = opened()
    width, seen = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert width <= seen


def test_a_table_sorts_by_mouse_and_by_keyboard(opened):
    browser = opened()
    heading = browser.find_element(By.CSS_SELECTOR, "#samples thead th:nth-child(9) button")

    def order():
        rows = browser.find_elements(By.CSS_SELECTOR, "#samples tbody th")
        return [row.text for row in rows]

    _click(browser, heading)
    assert order() == ["spleen", "pbmc_a", "pbmc_b"]
    heading.send_keys(Keys.ENTER)
    assert order() == ["pbmc_b", "pbmc_a", "spleen"]


def test_a_table_filters_by_words(opened):
    browser = opened()
    field = browser.find_element(By.CSS_SELECTOR, "#samples input[type=search]")
    field.send_keys("mitochondrial above")
    rows = browser.find_elements(By.CSS_SELECTOR, "#samples tbody tr")
    assert [row.find_element(By.TAG_NAME, "th").text for row in rows if row.is_displayed()] == [
        "pbmc_b"
    ]
    assert "1 of 3 rows" in browser.find_element(By.CSS_SELECTOR, "#samples output").text


def test_another_colour_and_one_group_lit_change_the_map(opened):
    browser = opened()
    choice = Select(browser.find_element(By.ID, "map-colour"))
    titles = [option.text for option in choice.options]
    assert titles[:3] == ["predicted type", "given type", "sample"]

    def image():
        return browser.execute_script("return document.getElementById('map-canvas').toDataURL()")

    before = image()
    choice.select_by_visible_text("Counts per cell")
    by_value = image()
    choice.select_by_visible_text("batch")
    _click(browser, browser.find_element(By.CSS_SELECTOR, "#map-legend button"))
    lit = image()
    assert len({before, by_value, lit}) == 3
    pressed = browser.find_elements(By.CSS_SELECTOR, "#map-legend [aria-pressed=true]")
    assert len(pressed) == 1


def test_cells_can_be_read_by_keyboard(opened):
    browser = opened()
    canvas = browser.find_element(By.ID, "map-canvas")
    canvas.send_keys(Keys.ARROW_RIGHT)
    first = browser.find_element(By.ID, "map-read").text
    canvas.send_keys(Keys.ARROW_RIGHT)
    second = browser.find_element(By.ID, "map-read").text
    assert first.startswith("pbmc_")
    assert "Counts per cell:" in first
    assert first != second


def test_marks_of_a_figure_can_be_read_by_keyboard(opened):
    browser = opened()
    plot = browser.find_element(By.CSS_SELECTOR, "#types svg.plot")
    plot.send_keys(Keys.ARROW_RIGHT)
    assert "macro-F1" in browser.find_element(By.ID, "tip").text


def test_another_method_can_be_chosen(opened):
    browser = opened()
    Select(browser.find_element(By.ID, "method-choice")).select_by_visible_text("genes-logistic")
    shown = [m for m in browser.find_elements(By.CSS_SELECTOR, ".method") if m.is_displayed()]
    assert [m.get_attribute("data-method") for m in shown] == ["genes-logistic"]


def test_a_cell_type_can_be_lit_in_the_composition(opened):
    browser = opened()
    button = browser.find_element(By.CSS_SELECTOR, '.legend button[data-label="CD4 T"]')
    _click(browser, button)
    assert button.get_attribute("aria-pressed") == "true"
    dimmed = browser.find_elements(By.CSS_SELECTOR, "svg .dimmed")
    assert dimmed
    assert all(segment.get_attribute("data-label") != "CD4 T" for segment in dimmed)
    _click(browser, button)
    assert not browser.find_elements(By.CSS_SELECTOR, "svg .dimmed")


def test_the_copy_button_copies_the_paragraph(opened):
    browser = opened()
    button = browser.find_element(By.CSS_SELECTOR, "[data-copy=paragraph]")
    _click(browser, button)
    deadline = time.monotonic() + 5
    while button.text != "Copied" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert button.text == "Copied"
    field = browser.find_element(By.CSS_SELECTOR, "#samples input[type=search]")
    field.send_keys(Keys.CONTROL, "v")
    assert field.get_attribute("value").startswith("Raw counts of 2 samples were checked")


def test_contents_lead_to_their_sections(opened):
    browser = opened()
    for link in browser.find_elements(By.CSS_SELECTOR, ".contents a"):
        target = link.get_attribute("href").split("#")[1]
        browser.execute_script("arguments[0].click()", link)
        assert browser.execute_script("return location.hash") == f"#{target}"
        assert browser.find_elements(By.ID, target)


def test_a_row_leads_to_the_page_of_its_sample(opened):
    browser = opened()
    _click(browser, browser.find_element(By.LINK_TEXT, "pbmc_a"))
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("pbmc_a")


def test_print_opens_what_was_folded(opened):
    browser = opened()
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.find_elements(By.CSS_SELECTOR, "details:not([open])") == []
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.find_elements(By.CSS_SELECTOR, "details[open]") == []
