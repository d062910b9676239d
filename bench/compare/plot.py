"""The comparison as a picture: requests per second, a bar for each system, for the main workloads."""

from pathlib import Path
from typing import Any

from bench.compare.report import Measured
from bench.compare.rounds import summary
from bench.compare.workloads import BY_NAME

COLOURS = {
    "polystow": "#c0392b",
    "before": "#d98880",
    "cache off": "#e6b0aa",
    "limit": "#d4ac0d",
    "nginx+Lua": "#1e8449",
    "webdis": "#2c3e50",
    "aiohttp": "#7f8c8d",
    "ordinary path": "#e59866",
    "kinto": "#bdc3c7",
    "raw Redis": "#95a5a6",
}
SHOWN = ("get", "put", "new", "patch", "list", "missing", "mix")
# Text stays text, and the same figures make the same file.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "polystow", "font.size": 9, "font.family": "sans-serif"}


def draw(measured: Measured, path: Path, note: str) -> None:
    """Write the picture as SVG. Only this function imports matplotlib, which takes half a second."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    shown = [name for name in SHOWN if name in measured] or list(measured)
    systems = list(dict.fromkeys(system for name in shown for system in measured[name]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 0.8 + 0.17 * sum(len(measured[name]) + 1 for name in shown)))
        axes = figure.subplots()
        at, ticks = 0.0, []
        for name in shown:
            present = [system for system in systems if system in measured[name]]
            ticks.append(at + (len(present) - 1) / 2)
            for system in present:
                rate = summary(measured[name][system])["rate"]
                axes.barh(at, rate, height=0.9, color=COLOURS[system])
                axes.annotate(f" {rate:,}", (rate, at), va="center", fontsize=7)
                at += 1
            at += 1
        axes.set_yticks(ticks, [BY_NAME[name].title for name in shown])
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.tick_params(left=False)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlabel(f"requests per second, more is better ({note})", fontsize=8)
        handles = [Rectangle((0, 0), 1, 1, color=COLOURS[system]) for system in systems]
        axes.legend(handles, systems, loc="lower right", frameon=False, fontsize=8)
        figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
