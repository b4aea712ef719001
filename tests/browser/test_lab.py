"""Notebooks in JupyterLab as `crm lab` opens them, in a real browser: all cells run, tables and findings are seen, a slider moves the figure."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crmlib.books.stored import Books
from crmlib.declared.reading import PROJECT
from crmlib.output.pdf import browser
from crmlib.run import lab

if not browser():
    pytest.skip("no Chromium on this machine: JupyterLab is not opened", allow_module_level=True)
sync = pytest.importorskip("playwright.sync_api")
OPENED = ("00_data_review", "27_profitability", "32_eva")
START = """name => {
  const {commands, shell} = window.jupyterapp;
  window.panels ??= {};
  return commands.execute('docmanager:open', {path: name}).then(async panel => {
    window.panels[name] = panel;
    await panel.context.ready;
    await panel.sessionContext.ready;
    shell.activateById(panel.id);
    commands.execute('notebook:run-all-cells');
  });
}"""
STATE = """name => {
  const cells = [...window.panels[name].content.model.cells].filter(cell => cell.type === 'code' && cell.sharedModel.getSource());
  return {
    left: cells.filter(cell => cell.executionCount === null).length,
    wrong: cells.flatMap(cell => cell.sharedModel.outputs.filter(o => o.output_type === 'error' || o.name === 'stderr'))
      .map(o => `${o.ename ?? o.name}: ${o.evalue ?? o.text}`)
  };
}"""


@pytest.fixture(scope="module")
def address(sample: Books, session_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on copies of the notebooks, with the sample's books in the cache."""
    with pytest.MonkeyPatch.context() as patch, socket.socket() as free:
        patch.setattr(lab, "LAB", tmp_path_factory.mktemp("lab"))
        patch.setenv("CRM_CACHE", str(session_cache))
        folder, changed = lab.open_copies(None)
        assert changed == []
        command, environment = lab.lab_command(folder)
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], secrets.token_hex(8)
    more = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={token}", "--expose-app-in-browser", "--allow-root"]  # fmt: skip
    server = subprocess.Popen([*command, *more], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token={token}")
        yield f"http://127.0.0.1:{port}/lab?token={token}&reset"
    finally:
        server.send_signal(signal.SIGTERM)  # ends its kernels too
        server.wait(30)


def _wait_for(url: str) -> None:
    for _ in range(120):
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("JupyterLab did not start")


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    """The browser at JupyterLab, with the notebooks opened and all their cells run."""
    with sync.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser(), args=["--no-sandbox", "--disable-gpu"])
        opened = chromium.new_page(viewport={"width": 1400, "height": 1000})
        opened.set_default_timeout(60_000)
        opened.goto(address)
        opened.wait_for_function("window.jupyterapp")
        opened.evaluate("window.jupyterapp.restored.then(() => true)")
        for name in OPENED:
            opened.evaluate(START, f"{name}.ipynb")
        yield opened
        chromium.close()


@pytest.mark.parametrize("name", OPENED)
def test_all_cells_run_in_jupyterlab_without_an_error(page: Any, name: str) -> None:
    for _ in range(240):
        state = page.evaluate(STATE, f"{name}.ipynb")
        if state["wrong"] or not state["left"]:
            break
        time.sleep(0.5)
    assert state == {"left": 0, "wrong": []}


def test_nothing_asks_for_news_and_the_checkout_stays_as_it_is(page: Any) -> None:
    assert page.locator(".Toastify__toast").count() == 0
    assert page.locator(".jp-Dialog").count() == 0
    inside = [
        str(path)
        for path in PROJECT.rglob(".ipynb_checkpoints")
        if ".venv" not in path.parts and "reports" not in path.parts
    ]
    assert inside == []


def test_a_slider_moves_the_figure(page: Any) -> None:
    said = _scrolled_to(page, "32_eva", "live-sliders").locator(".widget-html p")
    said.wait_for()
    before = said.inner_text()
    assert before.startswith("The firm would add USD")
    handle = page.locator(".noUi-handle").first
    handle.focus()
    for _ in range(4):
        handle.press("ArrowRight")
    page.wait_for_function("before => document.querySelector('.widget-html p').innerText !== before", arg=before)
    assert said.inner_text().startswith("The firm would add USD")


def _scrolled_to(page: Any, name: str, cell: str) -> Any:
    """The output of a cell, brought into view."""
    at = page.evaluate("""async ([name, cell]) => {
      const panel = window.panels[name], cells = [...panel.content.model.cells];
      const at = cells.findIndex(each => each.id === cell);
      window.jupyterapp.shell.activateById(panel.id);
      panel.content.activeCellIndex = at;
      await panel.content.scrollToItem(at, 'start');
      return at;
    }""", [f"{name}.ipynb", cell])  # fmt: skip
    return page.locator(
        f".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell[data-windowed-list-index='{at}'] .jp-Cell-outputArea"
    )
