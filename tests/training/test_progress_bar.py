"""Progress for people: whom it is shown to, and what a notebook gets."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from qdm_qiskit.progress import silent
from qdm_qiskit.training import progress_bar as bars
from qdm_qiskit.training import train


def test_nobody_watches_a_pipe(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert bars.progress_bar() is silent
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(bars.progress_bar(), bars.TerminalBar)


def test_a_notebook_gets_one_line_that_is_written_over(tmp_path, small_run, monkeypatch):
    shown = []

    class Handle:
        def update(self, content):
            shown.append(content)

    def display(content, display_id):
        assert display_id is True
        shown.append(content)
        return Handle()

    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    fake = SimpleNamespace(HTML=lambda text: text, display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    bar = bars.progress_bar()
    assert isinstance(bar, bars.NotebookBar)
    bar.note("a name: <b>bold</b>")
    result = train(small_run(), tmp_path / "run", progress=bar)
    assert 'value="6" max="6"' in shown[-1]
    assert f"test {result.history[-1]['test_loss']:.5f}" in shown[-1]
    assert "&lt;b&gt;" in shown[-1]
    assert "<b>" not in shown[-1]
