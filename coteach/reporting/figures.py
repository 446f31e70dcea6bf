"""The papers' figures, drawn for print and for readers who are colour-blind.

Of co-teaching Figures 2 and 3, of the part-of-speech auxiliary task Figures 3, 6 and 9.

Nothing of matplotlib's global state changes: no pyplot, and the settings and the Japanese font
hold only while a figure is drawn.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coteach.data.files import temporary_beside
from coteach.errors import InputError
from coteach.reporting.auxiliary import Experiment, mean_and_spread
from coteach.reporting.figure_data import Lead, Sweep, correlation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "check_available",
    "draw_auxiliary",
    "draw_leads",
    "draw_sweeps",
    "save_figure",
    "style",
]

# Okabe and Ito's colours, and a shape each, so that grey prints tell them apart as well.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
_LINES = {"p": (_BLUE, "o", "-"), "p_out": (_ORANGE, "s", "--"), "p_mean": (_GREEN, "^", "-.")}
_TASKS = (("multi-task", _BLUE, "o", "-"), ("single-task", _ORANGE, "s", "--"))
_SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.9,
    "savefig.dpi": 200,
}
_PANEL = (4.0, 3.4)  # inches
_ACROSS = 3  # panels
_TITLE = 44  # characters of a line
# Where a name may stand: to the right of its point (1), above it (1), and so on.
_AROUND = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)]
_MISSING = "figures need matplotlib and matplotlib-fontja: pip install coteach[report]"


def check_available() -> None:
    """Raise InputError where the packages that draw are missing."""
    with style():
        pass


def draw_leads(points: Mapping[str, Sequence[Lead]], path: Path) -> None:
    """Figure 2: a student's gain on the best team against that team's lead; a panel a student."""
    with style():
        figure, panels = _panels(len(points), shared=True)
        for axes, (student, group) in zip(panels, points.items(), strict=True):
            _draw_leads(axes, student, group)
        figure.draw_without_rendering()  # now the names' sizes and the panels' places are known
        for axes, group in zip(panels, points.values(), strict=True):
            _name_points(figure, axes, group)
        save_figure(figure, path)


def draw_sweeps(sweeps: Sequence[Sweep], path: Path) -> None:
    """Figure 3: F1 by p, p_out and p_mean against the number of training pages."""
    with style():
        figure, panels = _panels(len(sweeps), shared=False)
        for axes, sweep in zip(panels, sweeps, strict=True):
            _draw_sweep(axes, sweep)
        save_figure(figure, path)


def draw_auxiliary(experiments: Sequence[Experiment], path: Path) -> None:
    """The part-of-speech paper's Figures 3, 6 and 9: accuracy of multi-task and single-task runs
    by the auxiliary task's layer, with a standard deviation to either side; a panel each."""
    with style():
        figure, panels = _panels(len(experiments), shared=False)
        for axes, experiment in zip(panels, experiments, strict=True):
            _draw_auxiliary(axes, experiment)
        save_figure(figure, path)


def _draw_leads(axes: Axes, student: str, points: Sequence[Lead]) -> None:
    lead = np.array([100 * point.lead for point in points])
    gain = np.array([100 * point.gain for point in points])
    axes.axhline(0, color=_GREY, linewidth=0.8)
    axes.scatter(lead, gain, s=20, color=_BLUE, zorder=3)
    title = textwrap.fill(student, _TITLE)
    test = correlation(points)
    if test is not None:
        slope, intercept = np.polyfit(lead, gain, 1)
        ends = np.array([lead.min(), lead.max()])
        axes.plot(ends, slope * ends + intercept, color=_ORANGE, linewidth=1.2, linestyle="--")
        r = f"{test.r:.3f}".replace("-", "−")
        title += f"\nr = {r}, p = {test.r_p:.2g}, n = {test.count}"
    axes.set_title(title)
    axes.set_xlabel("best − second-best team (points of F1)")
    axes.set_ylabel("student − best team (points of F1)")
    axes.margins(0.15)


def _name_points(figure: Figure, axes: Axes, points: Sequence[Lead]) -> None:
    """Write every point's name beside it, where there is room; the table has all of them."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    places = [(100 * point.lead, 100 * point.gain) for point in points]
    centres = axes.transData.transform(places)
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in centres]
    for point, place, (x, y) in zip(points, places, centres, strict=True):
        name = axes.annotate(
            point.unit, place, xytext=(0, 0), textcoords="offset points", fontsize=7
        )
        name.set_in_layout(False)
        name.set_path_effects([withStroke(linewidth=2, foreground="white")])
        width, height = name.get_window_extent().size
        pixels = figure.dpi / 72
        for right, up in _AROUND:
            left = x + right * 6 - width * (1 - right) / 2
            bottom = y + up * 6 - height * (1 - up) / 2
            box = Bbox.from_bounds(left, bottom, width, height)
            inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
            if inside and not box.count_overlaps(taken):
                name.xyann = ((left - x) / pixels, (bottom - y) / pixels)
                taken.append(box)
                break
        else:
            name.remove()


def _draw_sweep(axes: Axes, sweep: Sweep) -> None:
    ticks = sorted({point.training_pages for line in sweep.lines.values() for point in line})
    apart = 0.012 * (ticks[-1] - ticks[0])  # or the bars would cover each other
    for number, (probability, points) in enumerate(sweep.lines.items()):
        colour, marker, style = _LINES[probability]
        axes.errorbar(
            [point.training_pages + apart * (number - 1) for point in points],
            [100 * point.mean for point in points],
            yerr=[math.nan if it.spread is None else 100 * it.spread for it in points],
            color=colour,
            marker=marker,
            linestyle=style,
            markersize=4.5,
            linewidth=1.4,
            elinewidth=0.9,
            capsize=2.5,
            label=probability,
        )
    if sweep.best_team is not None:
        axes.axhline(100 * sweep.best_team, color=_GREY, linestyle=":", label="best team")
    axes.set_xticks(ticks, [f"{count:,}" for count in ticks])
    axes.set_title(textwrap.fill(f"{sweep.category}: {sweep.student}", _TITLE))
    axes.set_xlabel("training pages")
    axes.set_ylabel("micro-F1 (%)")
    axes.legend()


def _draw_auxiliary(axes: Axes, experiment: Experiment) -> None:
    layers = [layer.number for layer in experiment.layers]
    for task, (name, colour, marker, line) in enumerate(_TASKS):
        seen = [mean_and_spread(layer.accuracies[task]) for layer in experiment.layers]
        axes.errorbar(
            [
                number + 0.16 * (task - 0.5) for number in layers
            ],  # or the bars would cover each other
            [math.nan if mean is None else 100 * mean for mean, _ in seen],
            yerr=[math.nan if spread is None else 100 * spread for _, spread in seen],
            color=colour,
            marker=marker,
            linestyle=line,
            markersize=4.5,
            linewidth=1.4,
            elinewidth=0.9,
            capsize=2.5,
            label=name,
        )
    axes.set_xticks(layers)
    axes.set_title(textwrap.fill(experiment.label, _TITLE))
    axes.set_xlabel("layer of the auxiliary task (bars: s.d. over the runs)")
    axes.set_ylabel("accuracy (%)")
    axes.legend()


def _panels(count: int, shared: bool) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels in rows, whose axes may be shared."""
    from matplotlib.figure import Figure

    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    figure = Figure(figsize=(_PANEL[0] * across, _PANEL[1] * down), layout="constrained")
    panels: list[Axes] = []
    for number in range(count):
        first = panels[0] if shared and panels else None
        panels.append(figure.add_subplot(down, across, number + 1, sharex=first, sharey=first))
    return figure, panels


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, which appears only when it is complete."""
    temporary = temporary_beside(path)
    try:
        figure.savefig(temporary, format="png")
        temporary.replace(path)
    except OSError as error:
        raise InputError.at(path, None, f"cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def style() -> Iterator[None]:
    """The figures' settings and their Japanese font, while the block lasts.

    Raises:
        InputError: the packages that draw are missing.
    """
    try:
        from matplotlib import rc_context
    except ImportError:
        raise InputError(_MISSING) from None
    with rc_context(_SETTINGS):
        try:
            from matplotlib_fontja import japanize  # the import alone sets the font, so it is here
        except ImportError:
            raise InputError(_MISSING) from None
        japanize()
        yield
