"""Coloured texts as pictures, drawn with matplotlib."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coteach.highlighting.blocks import (
    Block,
    Measure,
    Reading,
    fact_lines,
    merged,
    prediction_line,
)
from coteach.highlighting.words import LEVELS, levels, shown
from coteach.reporting.figures import save_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Run", "Widths", "draw", "wrap"]

_DPI = 200
_HIGHEST = 60_000  # pixels; matplotlib draws no more than 65,536
_COLUMN, _MARGIN, _GUTTER = 4.6, 0.2, 0.3  # inches
_LINE = 0.27  # inches a line of text
_SIZE, _SMALL = 10.5, 8.0  # points
_INK, _QUIET = "#1A1A1A", "#6B6B6B"
_BLUE = (0.28, 0.6, 1.0)
_TAB = " " * 4
_HANGING = frozenset("、。，．,.」』）)！？!?")
"""May stand behind the end of a line, never at the beginning of one."""


@dataclass(frozen=True)
class Run:
    """Characters of one colour on one line.

    Attributes:
        text: what is drawn.
        level: its colour, from -255 to 255; None for no background.
        left: where it begins on its line, and its ``width``, in inches.
        marked: whether it has a line below.
    """

    text: str
    level: int | None
    left: float
    width: float
    marked: bool = False


Part = tuple[str, int | None] | tuple[str, int | None, bool]
"""A text of one colour: its characters, their level, and whether they are marked."""


_Line = tuple[float, str, list[Run]]
"""Size, colour of what has no level, and what stands on the line."""


class Widths:
    """How far characters reach, in inches, as matplotlib draws them.

    Args:
        size: of the letters, in points.
    """

    def __init__(self, size: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.font_manager import FontProperties

        self._renderer: Any = FigureCanvasAgg(Figure(dpi=_DPI)).get_renderer()
        self._font = FontProperties(size=size)
        self._known: dict[str, float] = {}
        self._frame = self._drawn("||")

    def __call__(self, text: str) -> float:
        """The width of a text on one line."""
        return sum(map(self._one, text))

    def _one(self, character: str) -> float:
        if character not in self._known:
            # What is drawn ends at its ink; between two strokes a character has its full width.
            self._known[character] = max(self._drawn(f"|{character}|") - self._frame, 0.0)
        return self._known[character]

    def _drawn(self, text: str) -> float:
        width, _, _ = self._renderer.get_text_width_height_descent(text, self._font, False)
        return width / _DPI


def wrap(parts: Sequence[Part], widths: Widths, room: float) -> list[list[Run]]:
    """Break a text into lines: at its own line breaks, and between words where it is too long.

    A word that is longer than a line is broken itself. White space where a line is broken stays at
    its end.

    Args:
        parts: words and what stands between them, with their levels and marks.
        widths: measures.
        room: inches of a line.
    """
    lines: list[list[Run]] = [[]]
    left = 0.0
    for text, level, *marked in parts:
        for number, stretch in enumerate(text.split("\n")):
            if number:
                lines.append([])
                left = 0.0
            for piece in _fitting(stretch, widths, room):
                width = widths(piece)
                stays = piece.isspace() or piece in _HANGING
                if left and left + width > room and not stays:
                    lines.append([])
                    left = 0.0
                lines[-1].append(Run(piece, level, left, width, any(marked)))
                left += width
    return lines


def draw(block: Block, measure: Measure, path: Path) -> None:
    """Draw one text as a PNG, the students side by side.

    Args:
        block: the text.
        measure: what the colours mean.
        path: of the picture.

    Raises:
        InputError: the file cannot be written, or the packages that draw are missing.
    """
    with warnings.catch_warnings(), style():
        # Both fonts lack the character, such as an emoji: it is drawn as a box.
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        from matplotlib import rcParams
        from matplotlib.figure import Figure

        # The Japanese font first, then one that has more symbols.
        rcParams["font.family"] = [*rcParams["font.family"], "DejaVu Sans"]
        rcParams["savefig.dpi"] = "figure"
        columns = len(block.readings)
        width = 2 * _MARGIN + columns * _COLUMN + (columns - 1) * _GUTTER
        body, small = Widths(_SIZE), Widths(_SMALL)
        head = wrap([(f"{block.section}\n{block.title}", None)], body, width - 2 * _MARGIN)
        foot = wrap(_words(measure.legend), small, width - 2 * _MARGIN)
        panels = [_panel(reading, body, small) for reading in block.readings]
        rows = len(head) + max(map(len, panels)) + len(foot) + 1
        height = 2 * _MARGIN + rows * _LINE
        figure = Figure(figsize=(width, height), dpi=min(_DPI, _HIGHEST / height))
        top = height - _MARGIN
        _write(figure, [(_SIZE, _INK, line) for line in head], _MARGIN, top)
        for number, lines in enumerate(panels):
            left = _MARGIN + number * (_COLUMN + _GUTTER)
            _write(figure, lines, left, top - (len(head) + 0.25) * _LINE)
        _write(
            figure, [(_SMALL, _QUIET, line) for line in foot], _MARGIN, _MARGIN + len(foot) * _LINE
        )
        save_figure(figure, path)


def _panel(reading: Reading, body: Widths, small: Widths) -> list[_Line]:
    """One student's name and prediction, facts, the text, and the special tokens."""
    title = f"{reading.student}: {prediction_line(reading)}".removesuffix(": ")
    text = [
        (shown(word.text).replace("\t", _TAB), level, word.marked)
        for word, level in zip(reading.words, levels(reading.words), strict=True)
    ]
    said = "\n".join(fact_lines(reading))
    facts = wrap(_words(said), small, _COLUMN) if said else []
    specials = merged(reading.specials)
    chips: list[Part] = [(f"{name} {weight:.3f}   ", None) for name, weight in specials]
    return [
        *((_SIZE, _INK, line) for line in wrap([(title, None)], body, _COLUMN)),
        *((_SMALL, _QUIET, line) for line in facts),
        *((_SIZE, _QUIET, line) for line in wrap(text, body, _COLUMN)),
        *((_SMALL, _QUIET, line) for line in wrap(chips, small, _COLUMN)),
    ]


def _write(figure: Figure, lines: Sequence[_Line], left: float, top: float) -> None:
    """Draw lines one below the other; ``left`` and ``top`` in inches from the lower left corner."""
    from matplotlib.patches import Rectangle

    inches = figure.dpi_scale_trans

    def fill(run: Run, bottom: float, height: float, colour: Any) -> None:
        figure.add_artist(
            Rectangle(
                (left + run.left, bottom),
                run.width,
                height,
                facecolor=colour,
                edgecolor="none",
                antialiased=False,  # or there would be seams between words
                transform=inches,
            )
        )

    for number, (size, colour, runs) in enumerate(lines):
        base = top - (number + 0.75) * _LINE
        for run in runs:
            if run.level is not None:
                fill(run, base - 0.22 * _LINE, 0.9 * _LINE, _colour(run.level))
        for run in runs:
            if run.marked:
                fill(run, base - 0.22 * _LINE, 0.07 * _LINE, _INK)
            if not run.text.isspace():
                figure.text(
                    left + run.left,
                    base,
                    run.text,
                    size=size,
                    color=colour if run.level is None else _INK,
                    parse_math=False,
                    transform=inches,
                )


def _words(text: str) -> list[Part]:
    """The text as parts between which a line may be broken: behind every space."""
    return [(word, None) for word in re.split("(?<= )", text)]


def _colour(level: int) -> tuple[float, float, float]:
    """White for 0, red for 255, a blue on which letters can be read for -255."""
    full = (1.0, 0.0, 0.0) if level > 0 else _BLUE
    part = abs(level) / (LEVELS - 1)
    red, green, blue = (1 - part * (1 - channel) for channel in full)
    return red, green, blue


def _fitting(text: str, widths: Widths, room: float) -> Iterator[str]:
    """The text, cut where it is longer than a line."""
    if widths(text) <= room:
        yield from [text] if text else []
        return
    piece, taken = "", 0.0
    for character in text:
        width = widths(character)
        if piece and taken + width > room:
            yield piece
            piece, taken = "", 0.0
        piece += character
        taken += width
    yield piece
