"""A notebook open in the browser: run it, and find what went wrong and what can be moved."""

from __future__ import annotations

from pathlib import Path

import nbformat
from playwright.sync_api import BrowserContext, Page, Route, WebSocket, expect

from tests.browser.explorer import Explorer, Prediction
from tests.browser.lab import Lab
from tests.browser.messages import error_in

SCRIPT = Path(__file__).with_name("page.js")
# All cells have a number; or some never will, since the kernel has had nothing to do for a while.
FINISHED = """() => {
  const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")];
  const count = (sign) => prompts.filter((prompt) => sign.test(prompt.textContent)).length;
  const idle = jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === "idle";
  if (!idle || count(/[*]/)) bnlabTest.busyAt = performance.now();
  if (!idle || count(/[*]/) || !count(/\\d/)) return false;
  return count(/\\d/) === prompts.length || performance.now() - bnlabTest.busyAt > 3000;
}"""
# Shown once it is whole: else each editor that is added lays out all that is there already.
OPEN = """async (path) => {
  const veil = new CSSStyleSheet();
  veil.replaceSync(".jp-Notebook { display: none }");
  document.adoptedStyleSheets.push(veil);
  const panel = await jupyterapp.commands.execute("docmanager:open", { path });
  await panel.revealed;
  const sheets = document.adoptedStyleSheets;
  document.adoptedStyleSheets = sheets.filter((sheet) => sheet !== veil);
}"""
ERRORS = """() => jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, at) =>
  (cell.model.outputs?.toJSON() ?? []).filter((output) => output.output_type === "error")
    .map((output) => [at, `${output.ename}: ${output.evalue}`]))"""


def open_page(browser: BrowserContext) -> Page:
    """A page that notices changes of pictures."""
    page = browser.new_page()
    page.set_default_timeout(30_000)
    page.add_init_script(path=SCRIPT)
    return page


class Notebook:
    """A notebook of the server's folder, open in JupyterLab.

    Args:
        browser: where to open it.
        server: whose notebook it is.
        name: its file name.
        kernel: False refuses it a kernel.
    """

    def __init__(
        self, browser: BrowserContext, server: Lab, name: str, *, kernel: bool = True
    ) -> None:
        self.server = server
        self._name(name, kernel)
        self.page = open_page(browser)
        self.page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        self.page.on("websocket", self._listen)
        self.page.route("**/api/sessions*", self._refuse)
        self.page.goto(f"{server.url}/lab/tree/{name}?reset")
        self._wait()

    def turn_to(self, name: str, *, kernel: bool = True) -> None:
        """Close this notebook and open another one in its place, far sooner than in a new page."""
        self.page.evaluate("jupyterapp.shell.currentWidget.dispose()")
        expect(self.page.locator(".jp-Notebook")).to_have_count(0)
        self.server.close_kernels()
        self._name(name, kernel)
        self.page.evaluate(OPEN, name)
        self._wait()

    def _name(self, name: str, kernel: bool) -> None:
        self.name, self.path, self.kernel = name, self.server.folder / name, kernel
        self.page_errors: list[str] = []
        self.messages: list[str] = []

    def _wait(self) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        if self.kernel:
            self.page.wait_for_function(
                "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
            )
            self.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.ready")

    def close(self) -> None:
        """Close the page and shut its kernel down."""
        self.page.close()
        self.server.close_kernels()

    def clear(self) -> None:
        """Choose *Clear Outputs of All Cells*."""
        self.page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")

    def run_all(self, timeout: float = 600) -> None:
        """Choose *Run All Cells* from the menu and wait for the last cell."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        # Not at every frame, which would keep a core from the kernel.
        self.page.wait_for_function(FINISHED, timeout=1000 * timeout, polling=200)
        self.settle()

    def settle(self) -> None:
        """Wait for half a second without a changing picture."""
        self.page.wait_for_function("performance.now() - bnlabTest.changedAt > 500")

    def run_errors(self) -> list[str]:
        """What *Run All* left wrong: errors in cells, cells without a number, broken scripts."""
        cells = nbformat.read(self.path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        errors = [
            f"cell {at}: {text}"
            for at, text in self.page.evaluate(ERRORS)
            if "raises-exception" not in cells[at].metadata.get("tags", [])
        ]
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
        if len(prompts) != len(code):
            errors.append(f"{len(prompts)} of {len(code)} code cells are in the page")
        for at, prompt in enumerate(prompts):
            if not any(character.isdigit() for character in prompt):
                errors.append(f"cell {at} was not run")
        return errors + self.unseen_errors()

    def unseen_errors(self) -> list[str]:
        """Exceptions that no cell shows: in an observer, or in the page's scripts."""
        return [*self.messages, *self.page_errors]

    def explorers(self) -> list[Explorer]:
        """Every sweep and live explorer, from top to bottom."""
        return Explorer.all_in(self.page)

    def predictions(self) -> list[Prediction]:
        """Every question that waits for an answer."""
        roots = self.page.query_selector_all(".bnlab-live:has(.bnlab-prediction)")
        return [Prediction(self.page, root) for root in roots]

    def _listen(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framereceived", self._received)

    def _received(self, frame: str | bytes) -> None:
        if error := error_in(frame):
            self.messages.append(error)

    def _refuse(self, route: Route) -> None:
        if route.request.method == "POST" and not self.kernel:
            route.fulfill(status=500, json={"message": "no kernel"})
        else:
            route.continue_()
