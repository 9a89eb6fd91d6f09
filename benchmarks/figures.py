"""Figures of the benchmarks: drawn without a screen, and equal bytes for equal values."""

from pathlib import Path
from types import ModuleType
from typing import Any


TEXT_AS_TEXT = {"svg.fonttype": "none"}
"""Setting of figures whose words stay words in an SVG."""


def open_pyplot(settings: dict[str, Any] | None = None) -> ModuleType:
    """`matplotlib.pyplot`, loaded when a figure is asked for, with more settings of matplotlib if given."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "iap"} | (settings or {})
    from matplotlib import pyplot

    return pyplot


def save_figure(figure: "matplotlib.figure.Figure", path: Path, **options: Any) -> None:  # noqa: F821
    """Write an SVG or PNG without its date, and close the figure; `options` are those of `Figure.savefig`."""
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, **options)
    pyplot.close(figure)
