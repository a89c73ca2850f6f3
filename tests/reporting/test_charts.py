"""Charts: well-formed, in proportion, and harmless whatever the data."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.reporting.charts import Interval, Series, bar_chart, interval_chart, line_chart
from tracknet.reporting.plots import errors

ANY = st.one_of(st.none(), st.floats(width=32))


def parts(svg: str, tag: str, kind: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(svg).iter(tag) if kind in e.get("class", "").split()]


def test_line_is_linear_in_its_ranges():
    svg = line_chart(
        [Series("a", [0, 5, 10], [0.0, 0.5, 1.0], mark=(5, 0.5))],
        title="t",
        x_label="x",
        y_label="y",
        x_range=(0, 10),
    )
    (line,) = parts(svg, "polyline", "line")
    (x0, y0), (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in line.get("points", "").split())
    assert (x1, y1) == pytest.approx(((x0 + x2) / 2, (y0 + y2) / 2), abs=0.1)
    assert x2 > x0 and y2 < y0
    (mark,) = parts(svg, "circle", "mark")
    assert (float(mark.get("cx", "")), float(mark.get("cy", ""))) == pytest.approx((x1, y1), abs=0.1)


def test_points_without_a_finite_value_are_left_out_and_no_data_is_said():
    nan = float("nan")
    svg = line_chart([Series("a", [0, 1, None], [nan, 1.0, 0.5])], title="t", x_label="x", y_label="y")
    assert len(parts(svg, "polyline", "line")[0].get("points", "").split()) == 1
    svg = line_chart([Series("a", [], []), Series("b", [1], [nan])], title="t", x_label="x", y_label="y")
    assert "no data" in svg and "b (no data)" in svg
    assert "no data" in bar_chart([], [], title="t", x_label="x", y_label="y")


def test_bars_are_in_proportion():
    svg = bar_chart(["0–1", "1–2", "2–3"], [10, 5, None], title="t", x_label="x", y_label="y")
    heights = [float(bar.get("height", "")) for bar in parts(svg, "rect", "bar")]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2)
    assert heights[0] > 100 and heights[2] == 0


def test_the_rest_stands_apart_and_is_named():
    svg = bar_chart(["0–1", "1–2"], [10, 5], title="t", x_label="x", y_label="y", rest=("≥2", 20))
    bars = parts(svg, "rect", "bar")
    left = [float(bar.get("x", "")) for bar in bars]
    assert left[2] - left[1] == pytest.approx(2 * (left[1] - left[0]), abs=0.3)
    assert ">≥2</text>" in svg and "≥2: 20</title>" in svg


def test_only_equal_bins_of_errors_stand_side_by_side():
    """A bin ten times as wide beside the others would make a hump where there is none."""
    histogram = {"edges_px": [0, 1, 2, 3, 13, 50, None], "counts": [9, 4, 2, 5, 1, 1]}
    svg = errors({"error": {"histogram": histogram}})
    bars = parts(svg, "rect", "bar")
    assert [bar.get("class") for bar in bars] == ["bar", "bar", "bar", "bar rest"]
    assert "≥3: 7</title>" in svg
    even = errors({"error": {"histogram": {"edges_px": [0, 1, 2], "counts": [9, 4]}}})
    assert "bar rest" not in even and errors({}).count("<rect") == 0


def test_interval_is_around_its_value_and_zero_is_in_the_middle():
    svg = interval_chart(
        [Interval("wasb", 1.3, 0.4, 2.2), Interval("none", None, None, None)], title="t", x_label="x"
    )
    (bar,) = parts(svg, "line", "range")
    (dot,) = parts(svg, "circle", "value")
    (zero,) = parts(svg, "line", "zero")
    ends = float(bar.get("x1", "")), float(bar.get("x2", ""))
    assert float(dot.get("cx", "")) == pytest.approx(sum(ends) / 2, abs=0.1)
    assert float(zero.get("x1", "")) < ends[0]


@given(st.lists(st.tuples(ANY, ANY), max_size=80), st.text(max_size=20))
def test_any_numbers_and_names_give_well_formed_charts(points: list, name: str):
    name = "".join(c for c in name if c.isprintable())
    xs, ys = [x for x, _ in points], [y for _, y in points]
    finite = [y for y in ys if y is not None and math.isfinite(y)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    for svg in (
        line_chart([Series(name, xs, ys)], title=name, x_label=name, y_label=name),
        bar_chart([name] * len(ys), [y and abs(y) for y in ys], title=name, x_label=name, y_label=name),
        interval_chart([Interval(name, y, low, high) for y in ys[:3]], title=name, x_label=name),
    ):
        ElementTree.fromstring(svg)
        assert "nan" not in svg.replace(name, "") and "inf" not in svg.replace(name, "")


def test_a_file_of_its_own_holds_its_styles_and_one_in_a_page_does_not():
    chart = {"title": "t", "x_label": "x", "y_label": "y"}
    alone = line_chart([Series("a", [0, 1], [0, 1])], **chart, standalone=True)
    assert ElementTree.fromstring(alone).tag == "{http://www.w3.org/2000/svg}svg"
    assert "#1f6fb2" in alone and "light-dark" not in alone and "var(" not in alone
    assert "<style" not in line_chart([Series("a", [0, 1], [0, 1])], **chart)
