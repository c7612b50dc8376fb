"""What a terminal and what a program read."""

import io
import sys

import pytest

from hssl.commands.terminal import paragraph, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_program_reads_a_line_for_each_thing_that_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("loading") as told:
        told("reading")
        told("measuring")
    printed = capsys.readouterr()
    assert printed.err == "reading\nmeasuring\n"
    assert printed.out == ""


def test_a_terminal_shows_what_is_done_and_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("loading") as told:
        told("measuring")
    assert "measuring" in stream.getvalue()
    assert "\n\n" not in stream.getvalue()
    # The cursor goes back to a line that is empty again.
    assert stream.getvalue().rstrip().endswith("\x1b[2K")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_line_is_broken_between_words_on_a_terminal(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "30")
    text = "mnist-translation: H-SSL against A-SSL cannot be tested: that takes two runs of each."
    paragraph(text)
    lines = stream.getvalue().splitlines()
    assert " ".join(lines) == text
    assert (max(map(len, lines)) <= 30) is terminal
