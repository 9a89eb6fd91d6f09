"""Charts as inline SVG."""

from collections.abc import Sequence
from html import escape
from typing import Any

from iap_pipelines.curation.report.words import meaning_of_measurement


_WIDTH, _HEIGHT = 300, 90
_KEPT, _REJECTED, _LIMIT = "#3a8f5c", "#c9544d", "#222222"


def bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars.

    Args:
        rows: name, length, and what stands behind the bar.
    """
    longest = max((length for _, length, _ in rows), default=0) or 1
    lines = []
    for index, (name, length, text) in enumerate(rows):
        y, width = 22 * index, 380 * length / longest
        lines.append(
            f'<text x="190" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="200" y="{y + 3}" width="{width:.1f}" height="14" fill="{_KEPT}"/>'
            f'<text x="{206 + width:.1f}" y="{y + 14}">{escape(text)}</text>'
        )
    return f'<svg width="820" height="{22 * len(rows)}">{"".join(lines)}</svg>'


def histogram(data: dict[str, Any]) -> str:
    """Rejected clips on kept ones, with the thresholds as lines; from `numbers.histograms`."""
    edges, kept, rejected = data["edges"], data["kept"], data["rejected"]
    low, high = edges[0], edges[-1]
    span = (high - low) or 1.0
    tallest = max((a + b for a, b in zip(kept, rejected, strict=True)), default=0) or 1

    def x(value: float) -> float:
        return _WIDTH * (value - low) / span

    shapes = []
    for index, (of_kept, of_rejected) in enumerate(zip(kept, rejected, strict=True)):
        left, width = x(edges[index]), max(x(edges[index + 1]) - x(edges[index]) - 0.5, 0.5)
        base = _HEIGHT
        for count, colour in ((of_kept, _KEPT), (of_rejected, _REJECTED)):
            height = _HEIGHT * count / tallest
            base -= height
            shapes.append(
                f'<rect x="{left:.1f}" y="{base:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
            )
    texts = []
    for item in data["thresholds"]:
        place, sign = x(item["value"]), "≥" if item["side"] == "at_least" else "≤"
        line = f'<line x1="{place:.1f}" x2="{place:.1f}" y1="-8" y2="{_HEIGHT}"'
        shapes.append(f'{line} stroke="{_LIMIT}" stroke-dasharray="3 2"/>')
        texts.append(f"{sign} {item['value']:g}, else {item['reason']}")
    meaning, unit = meaning_of_measurement(data["measurement"])
    lines = [f"{meaning} ({unit})" if unit else meaning, "; ".join(texts) or "not judged"]
    if data["missing"]:
        lines.append(f"not measured in {data['missing']} clips")
    words = "".join(f"<br>{escape(line)}" for line in lines)
    caption = f"<figcaption><b>{escape(data['measurement'])}</b>{words}</figcaption>"
    axis = (
        f'<text x="0" y="{_HEIGHT + 14}">{_plain(low)}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 14}" text-anchor="end">{_plain(high)}</text>'
        f'<text x="{_WIDTH + 4}" y="6">{tallest}</text>'
    )
    size = f'width="{_WIDTH}" height="{_HEIGHT + 28}" viewBox="-4 -10 {_WIDTH + 8} {_HEIGHT + 28}"'
    return f"<figure>{caption}<svg {size}>{''.join(shapes)}{axis}</svg></figure>"


def _plain(value: float) -> str:
    """Three digits, without powers of ten.

    >>> [_plain(value) for value in (48000.0, 0.01234, 1.0)]
    ['48000', '0.0123', '1']
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
