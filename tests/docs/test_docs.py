"""What is written must be so: settings, routes, errors, detectors, links, and the examples that are marked to run."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from docs import make_settings
from mlpipe import errors, settings, web
from mlpipe.app import create_app
from mlpipe.drift.detectors import DETECTORS
from tests.server import CHECKOUT, Server

FOLDERS = ("docs", "benchmarks", "deploy", "mlpipe", "migrations", "tests")
PAGES = sorted(
    [*CHECKOUT.glob("*.md"), *(page for folder in FOLDERS for page in (CHECKOUT / folder).rglob("*.md"))],
    key=lambda page: page.relative_to(CHECKOUT).as_posix(),
)
NAMES = [page.relative_to(CHECKOUT).as_posix() for page in PAGES]

RUN_S = 120
"""Longest time of a page's examples; they take some fifteen seconds."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKED = re.compile(r"^<!-- (run|prints) -->\n```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[^\s`?|),;*]*)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

# mlpipe checks every five minutes by itself; a check of its own would take the rows of the example's
QUIET = {"MLPIPE_CHECK_INTERVAL": "86400"}


def text_of(name: str) -> str:
    return (CHECKOUT / name).read_text("utf-8")


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Method and path of every route but that of static files."""
    app: Flask = create_app(settings.Settings(home=tmp_path_factory.mktemp("home")))
    return {
        (method, re.sub(r"<\w+:(\w+)>", r"<\1>", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static"
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def named_routes(text: str) -> set[tuple[str, str]]:
    plain = text.replace("&lt;", "<").replace("&gt;", ">")
    return {(method, path.rstrip(".") if path != "/" else path) for method, path in ROUTE.findall(plain)}


# Completeness ---------------------------------------------------------------------------------------------------


def test_settings_page_is_current():
    assert text_of("docs/settings.md") == make_settings.document(), "run: .venv/bin/python -m docs.make_settings"


@pytest.mark.parametrize("name", settings.rules())
def test_every_setting_is_documented(name: str):
    assert f"`{settings.variable(name)}`" in text_of("docs/settings.md")


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_that_is_named_is_a_setting(name: str):
    known = {settings.variable(setting) for setting in settings.rules()}
    assert set(re.findall(r"\bMLPIPE_[A-Z_]*[A-Z]\b", text_of(name))) <= known


def test_every_route_is_documented(routes: set[tuple[str, str]]):
    assert routes - named_routes(text_of("docs/api.md")) == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_route_that_is_named_is_there(name: str, routes: set[tuple[str, str]]):
    assert named_routes(text_of(name)) - routes == set()


def all_errors(root: type[errors.MlpipeError] = errors.MlpipeError) -> dict[str, type[errors.MlpipeError]]:
    found = {kind.code: kind for kind in root.__subclasses__()}
    return found | {code: kind for child in root.__subclasses__() for code, kind in all_errors(child).items()}


@pytest.mark.parametrize("code", sorted(all_errors()))
def test_every_error_code_is_documented_with_its_status(code: str):
    assert f"\n| `{code}` | {web.STATUS.get(code, '–')} | " in text_of("docs/api.md")


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_is_documented_with_its_role(name: str):
    assert re.search(rf"^\| `{name}` \| .+ \| {DETECTORS[name].role}: ", text_of("docs/drift.md"), re.MULTILINE)


# Links ----------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(FENCE.sub("", text)))
    return {title.replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name: str):
    targets = [target for target in LINK.findall(FENCE.sub("", text_of(name))) if not re.match(r"\w+:", target)]
    assert [target for target in targets if not leads_somewhere(CHECKOUT / name, target)] == []


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    place = (page.parent / path).resolve() if path else page
    if not place.exists() or not place.is_relative_to(CHECKOUT):
        return False
    return not anchor or anchor in anchors(place.read_text("utf-8"))


def test_a_dead_link_is_noticed(tmp_path: Path):
    assert not leads_somewhere(CHECKOUT / "README.md", "docs/nowhere.md")
    assert not leads_somewhere(CHECKOUT / "README.md", "docs/glossary.md#nothing")
    assert not leads_somewhere(CHECKOUT / "README.md", str(tmp_path))


# Examples -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examples:
    """The marked blocks of a page: one script, and the lines that it must print."""

    script: str
    prints: tuple[str, ...]


def examples_of(text: str, ports: list[int]) -> Examples:
    """Join the marked blocks of a page, with other ports; a shell block becomes a call of bash."""
    script, prints = [], []
    for mark, language, written in MARKED.findall(text):
        block = re.sub(
            r"\b(8001|8002|8050)\b", lambda port: str(ports[("8001", "8002", "8050").index(port[0])]), written
        )
        if mark == "prints":
            prints += block.splitlines()
        elif language == "python":
            script.append(block)
        else:
            assert language in {"sh", "bash"}, f"a block of {language or 'no language'} cannot be run"
            script.append(
                f"import subprocess\nsubprocess.run(['bash', '-euo', 'pipefail', '-c', {block!r}], check=True)"
            )
    return Examples("\n".join(script), tuple(prints))


def run(examples: Examples, folder: Path) -> None:
    """Run the examples in a process of their own; fail with what it said."""
    file = folder / "examples.py"
    file.write_text(examples.script)
    done = subprocess.run(
        [sys.executable, "-u", str(file)], cwd=folder, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in examples.prints:
        pattern = re.escape(line).replace(re.escape("..."), ".*")
        assert re.search(rf"^{pattern}$", done.stdout, re.MULTILINE), f"not printed: {line}\n{done.stdout}"


@pytest.mark.parametrize("name", [name for name in NAMES if MARKED.search(text_of(name))])
def test_examples_run_in_order_against_a_real_server(name: str, tmp_path: Path):
    server = Server(tmp_path / "home")
    try:
        server.start(**QUIET)
        run(examples_of(text_of(name), server.ports), tmp_path)
    finally:
        server.stop()


def test_readme_shows_the_fixed_examples_word_for_word():
    blocks = [written for mark, _, written in MARKED.findall(text_of("README.md")) if mark == "run"]
    assert blocks[0].split("\n\n", 1)[1] == (
        'requests.post("http://localhost:8001/ingest/batch", json={"features": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], '
        '"labels": [0, 1], "batch_id": "batch_001"})\n'
        'requests.post("http://localhost:8002/predict", json={"features": [[1.0, 2.0, 3.0]]}).json()   '
        '# holds {"predictions": [1], "probabilities": [0.85]} and more\n'
        'requests.get("http://localhost:8001/health"); requests.get("http://localhost:8002/health")\n'
    )


PAGE = """
<!-- run -->
```python
port = 8001
```
```python
raise SystemExit("not marked")
```
<!-- run -->
```sh
echo "from bash 8002"
```
<!-- run -->
```python
print("from python", port)
```
<!-- prints -->
```text
from bash 2
from ...1
```
"""


def test_marked_blocks_run_in_order_with_other_ports(tmp_path: Path):
    run(examples_of(PAGE, [1, 2, 3]), tmp_path)


def test_a_line_that_was_not_printed_is_noticed(tmp_path: Path):
    with pytest.raises(AssertionError, match="not printed: from bash 4"):
        run(Examples("print('from bash 2')", ("from bash 4",)), tmp_path)


def test_an_example_that_fails_is_noticed(tmp_path: Path):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(Examples("1 / 0", ()), tmp_path)
