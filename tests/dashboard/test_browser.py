from __future__ import annotations

import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from mlpipe import clock
from mlpipe.prediction.tables import predictions
from tests.dashboard import seed

CHROMIUM = "/usr/bin/chromium"
WAIT_MS = 20_000
DARK_C2 = "rgb(255, 141, 74)"

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="chromium is not installed")


@pytest.fixture
def database():
    """The browser sees pages, whichever database is behind them."""
    return "sqlite"


@pytest.fixture
def url(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page():
    """A page that remembers what went wrong in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.faults = []
        page.on("console", lambda told: page.faults.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))
        page.on("request", lambda asked: None if "127.0.0.1" in asked.url else page.faults.append(asked.url))
        yield page
        browser.close()


def test_a_new_prediction_appears_by_polling(page, url):
    seed.one_prediction()
    page.goto(url)
    page.wait_for_selector("#chart-predictions .bars")
    page.locator("#traffic summary").click()
    seed.insert(predictions, seed.request(clock.now_us(), n_rows=41))
    page.wait_for_selector("text=42\xa0predictions since", timeout=WAIT_MS)
    assert page.locator("#traffic details").get_attribute("open") is not None
    assert page.locator("#chart-predictions .bars").count() == 1
    assert page.faults == []


def test_the_empty_page_turns_into_the_overview(page, url):
    page.goto(url)
    assert "waiting for its first labelled rows" in page.inner_text("h1")
    seed.one_prediction()
    page.wait_for_selector("h2:has-text('Why it changed last')", timeout=WAIT_MS)
    assert page.faults == []


def test_full_page_draws_switches_theme_and_fits_a_phone(page, url):
    seed.full(busy=False)
    page.goto(url)
    for name in ("drift", "quality", "predictions"):
        page.wait_for_selector(f"#chart-{name} .main-svg")
    page.click("[data-theme-switch]")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.wait_for_selector(f"#chart-drift .shapelayer path[style*='{DARK_C2}']", state="attached")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth === 390")
    page.click("text=Menu")
    page.click("#side >> text=System")
    assert not page.evaluate("document.querySelector('#side').matches(':popover-open')")
    assert page.faults == []


def test_two_failures_cut_the_page_off(page, url):
    seed.one_prediction()
    page.goto(url)
    page.route("**/dashboard/data/overview", lambda route: route.abort())
    page.evaluate("poll().then(poll)")
    page.wait_for_selector("text=No answer from mlpipe for", timeout=WAIT_MS)
    page.unroute("**/dashboard/data/overview")
    page.click("text=Try now")
    page.wait_for_selector(".cut", state="hidden")


def test_a_freeze_takes_two_clicks_and_its_reason(page, url):
    seed.one_prediction()
    page.goto(url)
    assert not page.is_visible("[name=reason]")
    page.click("summary:has-text('Freeze')")
    page.fill("[name=reason]", "Holidays <b>")
    page.click("form[data-post='/models/freeze'] button")
    page.wait_for_selector("text=Holidays <b>", timeout=WAIT_MS)
    page.wait_for_selector("summary:has-text('Unfreeze')", timeout=WAIT_MS)
    assert page.faults == []
