"""A picture of a terminal shows what was there at last, loads nothing, and gives no secret away."""

import os
import sys
from pathlib import Path

import pytest

from tools.pictures.terminal import drawn, lines, running


def test_what_was_written_over_and_what_moved_the_cursor_is_not_seen() -> None:
    shown = "\x1b[2Kone\x1b[?25l\r\n 10 %\r 99 %\r\n\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n"
    assert lines(shown) == ["one", " 99 %", "\x1b[31mred\x1b[0m"]


def test_a_drawing_has_its_words_and_colours_and_asks_nobody_for_a_font() -> None:
    drawing = drawn("\x1b[31mred\x1b[0m and plain", title="Title")
    assert "red" in drawing
    assert "#ff7b72" in drawing
    assert "Title" in drawing
    assert "url(http" not in drawing
    assert "@" not in drawing


def test_a_secret_is_never_drawn() -> None:
    with pytest.raises(ValueError, match="a secret would be seen in the picture of up"):
        drawn("API_KEY=hunter2", title="up", secrets=["hunter2"])


def test_a_command_is_typed_to_and_seen_as_on_a_terminal(tmp_path: Path) -> None:
    script = "import sys; print(sys.stdout.isatty()); print('hello', input('name: '))"
    command = [sys.executable, "-c", script]
    with running(command, folder=tmp_path, environment=dict(os.environ)) as terminal:
        terminal.until("name: ")
        terminal.type("ann\n")
        assert terminal.end() == 0
    assert lines(terminal.shown) == ["True", "name: ann", "hello ann"]


def test_what_is_waited_for_in_vain_is_said_with_what_was_shown(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('other')"]
    with (
        running(command, folder=tmp_path, environment=dict(os.environ)) as terminal,
        pytest.raises(TimeoutError, match="did not show 'this', but:\nother"),
    ):
        terminal.until("this")
