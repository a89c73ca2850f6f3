"""The plot's rectangle inside a chart: two linear scales, grid and numbers."""

from __future__ import annotations

import math
from html import escape

from tracknet.utils.geometry import Size

SIZE = Size(420, 310)
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 10, 48


class PlotFrame:
    """The plot's rectangle, and the two scales."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        self._x, self._y = (x_low, x_high), (y_low, y_high)

    def x(self, value: float) -> float:
        """The picture's column of a value; of the nearest end for one beyond the axis."""
        low, high = self._x
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return LEFT + share * (SIZE.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """The picture's row of a value on the vertical axis."""
        low, high = self._y
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return SIZE.height - BOTTOM - share * (SIZE.height - TOP - BOTTOM)

    def axes(self, x_label: str, y_label: str, *, x_ticks: bool = True) -> str:
        """Grid, numbers and labels."""
        below, right = SIZE.height - BOTTOM, SIZE.width - RIGHT
        parts = [
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{self.y(v) + 4:.1f}" text-anchor="end">{_tick(v)}</text>'
            for v in _ticks(*self._y)
        ]
        if x_ticks:
            parts += [
                f'<line class="grid" x1="{self.x(v):.1f}" x2="{self.x(v):.1f}" y1="{TOP}" y2="{below}"/>'
                f'<text class="tick" x="{self.x(v):.1f}" y="{below + 16}" text-anchor="middle">{_tick(v)}</text>'
                for v in _ticks(*self._x)
            ]
        middle_x, middle_y = (LEFT + right) / 2, (TOP + below) / 2
        parts.append(
            f'<line class="zero" x1="{LEFT}" x2="{right}" y1="{below}" y2="{below}"/>'
            f'<text class="label" x="{middle_x}" y="{SIZE.height - 8}" text-anchor="middle">{escape(x_label)}</text>'
            f'<text class="label" transform="translate(14 {middle_y}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return "".join(parts)


def _tick(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the ends: four to eight of them."""
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
