"""The report as a file: what it says, what it holds, and what it must not let through."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reporting.conftest import Columns, check_policy, make_predictions
from tracknet.reporting.outcomes import worst_frames
from tracknet.reporting.pictures import FramePicture, frame_picture
from tracknet.utils.geometry import Size

Render = Callable[..., Path]
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028&{{data}}'\""


def data_of(page: str) -> dict[str, Any]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def visible(page: str) -> str:
    """The page's text without its data, styles and script."""
    page = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def section(page: str, name: str) -> str:
    """The text of one of the page's sections."""
    return visible(page[page.index(f'<section id="{name}"') :].partition("</section>")[0])


def test_figures_intervals_and_marks_are_on_the_page(
    render_page: Render, metrics: dict, predictions: Columns
):
    page = render_page(metrics, predictions).read_text()
    text = visible(page)
    assert "quickstart" in text and "120 frames · 3 clips · 2 games" in text.replace("  ", " ")
    for wanted in (
        "0.854",
        "[0.801, 0.903]",
        "d &lt; 4 px at 1280x720",
        "1.23",
        "3 of 15 empty frames",
        "9c7dd9b8",
    ):
        assert wanted in text
    assert "chosen on this very split" in text
    row = re.search(r"<tr><th scope=\"row\"><b title=\"a paper\">.*?</tr>", page)
    assert row
    # Every figure of a protocol moves with the threshold: five shares, the error and five counts are marked.
    assert row[0].count("†") == 11
    other = re.search(r"<tr><th scope=\"row\"><b title=\"another\">.*?</tr>", page)
    assert other
    assert other[0].count("†") == 10, "a figure that is not there has no mark"
    assert "–" in other[0]


def test_ap_with_monotone_precision_is_beside_ap(render_page: Render, metrics: dict, predictions: Columns):
    metrics["protocols"]["wasb"]["ap_monotone"] = 0.7751
    text = section(render_page(metrics, predictions).read_text(), "protocols")
    assert text.count("monotone 0.775 †") == 1
    assert "the best precision at this or any higher recall" in text


def test_intervals_of_groups_are_beside_them_and_in_the_findings(
    render_page: Render, metrics: dict, predictions: Columns
):
    metrics["breakdowns"]["game"][1] |= {"intervals": {"recall": [0.4, 0.75], "f1": None}}
    page = render_page(metrics, predictions).read_text()
    assert "0.600 † [0.40, 0.75]" in section(page, "breakdowns")
    told = section(page, "summary")
    assert "Recall is 0.60 [0.40, 0.75] for game2 (35 balls), against 0.81 over all." in told
    assert "intervals play no part in the order" in told


def test_an_honest_threshold_has_no_marks(render_page: Render, metrics: dict, predictions: Columns):
    assert "†" not in visible(render_page(metrics | {"optimistic": False}, predictions).read_text())


def test_outcomes_are_counted_and_the_failures_said(render_page: Render, metrics: dict, predictions: Columns):
    text = visible(render_page(metrics, predictions).read_text())
    # Per clip: 5 missed (10..14), one near miss (20), one false alarm (27); 0, 9, 18 and 36 are empty.
    assert re.search(r"found 87 † near miss 3 † missed 15 † false alarm 3 † no ball 12 †", text)
    assert "Recall is 0.60 for game2 (35 balls), against 0.81 over all. †" in text
    assert "Longest gap: 5 frames in a row without a detection, in game1 / Clip0 from frame 10 on." in text
    assert "more than 40 px away" in text
    assert "3 false alarms on frames without a visible ball" in text


def test_figures_by_part_are_marked_and_say_of_how_many(
    render_page: Render, metrics: dict, predictions: Columns
):
    metrics["breakdowns"]["game"][1] |= {"fp2": 1, "tn": 9, "precision": 0.8, "median_px": 1.5}
    page = render_page(metrics, predictions).read_text()
    rows = re.findall(r"<tr><th scope=\"row\">(?:game\d+).*?</tr>", page)
    game1, game2, game10 = (visible(row).split() for row in rows)
    assert game1 == ["game1", "80", "70", "0.850", "†", "–", "0.900", "†", "–", "–"]
    recall, alarms = ["0.600", "†"], ["1", "of", "10", "†"]
    assert game2 == ["game2", "40", "35", *recall, "0.800", "†", "0.700", "†", "1.50", *alarms]
    assert game10 == ["game10", "9", "0", "–", "–", "–", "–", "0.100", "†"], "no balls: nothing to find"
    assert 'data-value="0.1">1 of 10' in rows[1]
    assert "†" not in section(
        render_page(metrics | {"optimistic": False}, predictions).read_text(), "breakdowns"
    )


def test_the_page_says_what_a_lower_threshold_would_give(
    render_page: Render, metrics: dict, predictions: Columns
):
    metrics["pr_curves"] = {"wasb": {"recall": [0.5, 0.805, 0.95], "precision": [1.0, 0.91, 0.6]}}
    page = render_page(metrics, predictions).read_text()
    figure = page[page.index("Precision over recall</h3>") :].partition("</figure>")[0]
    x = [float(pair.partition(",")[0]) for pair in figure.partition('points="')[2].partition('"')[0].split()]
    ring = re.search(r'<circle class="mark c0 d0" cx="([\d.]+)"', figure)
    assert ring and float(ring[1]) == x[1] < x[2]
    words = visible(figure)
    assert "to where every guess, however unsure, is taken" in words
    assert "AP is of the part up to it" in words


def test_errors_say_over_how_many_balls(render_page: Render, metrics: dict, predictions: Columns):
    assert "1.2 px mean 3.0 px, over balls with a guess" in section(
        render_page(metrics, predictions).read_text(), "summary"
    )
    metrics["error"]["without_guess"] = 5
    text = section(render_page(metrics | {"balls": 1105}, predictions).read_text(), "summary")
    assert "1.2 px mean 3.0 px, over 1,100 of 1,105 balls" in text


def test_the_pck_line_lies_in_its_intervals(render_page: Render, metrics: dict, predictions: Columns):
    curve = metrics["pck_curve"]
    assert 'class="band' not in render_page(metrics, predictions).read_text()
    curve["intervals"] = [[share - 0.05, share + 0.05] for share in curve["share"]]
    curve["intervals"][3] = None
    page = render_page(metrics, predictions).read_text()
    band = re.search(r'<polygon class="band c0 d0" points="([^"]+)"', page)
    line = re.search(r'<polyline class="line c0 d0" points="([^"]+)"', page.partition('class="band')[2])
    assert band and line
    corners = [tuple(map(float, pair.split(","))) for pair in band[1].split()]
    middle = dict(tuple(map(float, pair.split(","))) for pair in line[1].split())
    assert len(corners) == 2 * 19
    # Rows of the picture count downwards.
    assert all(y < middle[x] for x, y in corners[:19]) and all(y > middle[x] for x, y in corners[19:])
    assert "[0.250, 0.350]" in section(page, "curves")


def test_the_scripts_data_holds_every_frame(render_page: Render, metrics: dict, predictions: Columns):
    data = data_of(render_page(metrics, predictions).read_text())
    assert [(clip["game"], clip["clip"]) for clip in data["clips"]] == [
        ("game1", "Clip0"),
        ("game2", "Clip1"),
        ("game1", "Clip2"),
    ]
    clip = data["clips"][1]
    assert clip["frames"] == {"from": 0} and clip["size"] == [1280, 720]
    assert clip["x"] == [round(float(value) * 10) for value in predictions["x_px"][40:80]]
    assert clip["tx"][9] is None and clip["tx"][10] == round(float(predictions["true_x_px"][50]) * 10)
    assert clip["outcome"][9:16] == "1444440" and clip["outcome"][20] == "2" and clip["outcome"][27] == "3"
    assert clip["status"][:2] == "-0" and len(clip["visibility"]) == 40
    kinds = [data["clips"][c]["outcome"][place] for c, place, _ in data["entries"][:6]]
    assert kinds == ["4", "2", "3", "4", "2", "3"]


def test_frames_in_no_order_with_gaps_keep_their_numbers(
    render_page: Render, metrics: dict, predictions: Columns
):
    keep = np.array([0, 50, 2, 90, 51])
    data = data_of(
        render_page(metrics, {name: column[keep] for name, column in predictions.items()}).read_text()
    )
    assert [clip["frames"] for clip in data["clips"]] == [[0, 2], {"from": 10}, {"from": 10}]


def test_names_from_data_cannot_become_markup(render_page: Render, metrics: dict, predictions: Columns):
    predictions["clip"] = np.full(120, EVIL, object)
    predictions["game"] = np.full(120, EVIL, object)
    metrics["breakdowns"]["clip"] = [{"value": EVIL, "frames": 1, "balls": 1, "recall": 0.1}]
    metrics["protocols"] = {
        EVIL: metrics["protocols"]["wasb"] | {"title": EVIL, "source": EVIL, "space": EVIL}
    }
    metrics["pr_curves"] = {EVIL: {"recall": [0.5], "precision": [0.5]}}
    metrics |= {
        "model": EVIL,
        "split": EVIL,
        EVIL: EVIL,
        "environment": {EVIL: [EVIL]},
        "decoders": {EVIL: {EVIL: EVIL}},
    }
    comparison = {"a": EVIL, "b": EVIL, "verdict": EVIL, "protocols": {EVIL: {EVIL: {}}}}
    page = render_page(metrics, predictions, (), comparison).read_text()
    assert page.count("<script") == 2, "the data and the page's own"
    assert "<img src=x" not in page and "alert(1)</script>" not in page
    assert "\u2028" not in data_block(page)
    # The text arrives as it was, template marks and all.
    assert data_of(page)["clips"][0]["clip"] == EVIL


def data_block(page: str) -> str:
    return page[page.index('id="data"') :].partition("</script>")[0]


def test_the_policy_admits_only_this_script_and_this_style(
    render_page: Render, metrics: dict, predictions: Columns
):
    check_policy(render_page(metrics, predictions).read_text())


def test_a_page_of_a_validation_split_stays_small(render_page: Render, metrics: dict):
    predictions = make_predictions(clips=45, frames=126, games=10)
    rng = np.random.default_rng(0)
    # Noise is the hardest to compress: far larger than a broadcast frame.
    frame = rng.integers(0, 256, (288, 512, 3), dtype=np.uint8)
    heavy = frame_picture("k", frame, None, None, None)
    keys = [str(predictions["key"][row]) for row in worst_frames(predictions, 120)]
    pictures = [FramePicture(key, heavy.size, heavy.frame_jpeg, heavy.close_up_jpeg) for key in keys]
    path = render_page(metrics, predictions, pictures)
    data = data_of(path.read_text())
    assert sum(len(clip["x"]) for clip in data["clips"]) == 5670
    assert path.stat().st_size < 10_000_000
    kept = len(data["pictures"])
    assert 20 < kept < 120
    assert f"{120 - kept} more pictures were left out" in visible(path.read_text())
    # Pictures are those given first, and each frame knows its own.
    assert [picture for *_, picture in data["entries"][:kept]] == list(range(kept))


def test_a_page_of_the_whole_published_dataset_is_written(render_page: Render, metrics: dict):
    path = render_page(metrics, make_predictions(clips=95, frames=209, games=10))
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("clips", [0, 1, 3000])
def test_from_no_frames_to_thousands_of_clips(render_page: Render, metrics: dict, clips: int):
    predictions = make_predictions(clips=clips, frames=2)
    page = render_page(metrics | {"breakdowns": {}}, predictions).read_text()
    assert len(data_of(page)["clips"]) == clips
    assert len(data_of(page)["entries"]) <= 400
    assert ("No frames were evaluated." in page) == (clips == 0)


def test_figures_that_are_missing_or_not_numbers_are_dashes(render_page: Render, predictions: Columns):
    nan = float("nan")
    empty = {
        "protocols": {"wasb": {"f1": nan, "precision": None, "tp": np.int64(0), "rmse_px": np.float64(nan)}}
    }
    for report in ({}, empty, {"error": {"median": nan, "histogram": {"edges_px": [0, 1], "counts": []}}}):
        text = visible(render_page(report, predictions).read_text())
        assert "–" in text and not re.search(r"\b(nan|none)\b", text, re.IGNORECASE)


def test_frames_without_any_ball(render_page: Render, metrics: dict, predictions: Columns):
    predictions["visibility"][:] = 0
    predictions["true_x_px"][:] = predictions["true_y_px"][:] = np.nan
    predictions["outcome"][:] = np.where(predictions["score"] >= 0.5, 3, 1)
    assert re.search(
        r"found 0 near miss 0 missed 0 false alarm \d+",
        visible(render_page(metrics | {"optimistic": False}, predictions).read_text()),
    )


def test_comparison_counts_who_is_right(render_page: Render, metrics: dict, predictions: Columns):
    b = {name: column.copy() for name, column in predictions.items()}
    b["outcome"][10:15] = 0  # finds a gap of A's
    b["outcome"][[1, 2]] = 4  # and loses two balls
    figures = {"f1": {"a": 0.85, "b": 0.863, "difference": 0.013, "interval": [0.004, 0.022]}}
    comparison = {
        "a": "old",
        "b": "new",
        "verdict": "B better than A by 1.3 [0.4, 2.2] F1 points",
        "protocols": {"wasb": figures},
        "predictions": b,
    }
    page = render_page(metrics, predictions, (), comparison).read_text()
    text = visible(page)
    assert "B better than A by 1.3 [0.4, 2.2] F1 points" in text
    assert re.search(r"97 both right 2 only A right .*5 only B right .*16 both wrong", text)
    assert "+0.013" in text and "[0.004, 0.022]" in text
    assert "†" not in section(page, "comparison")
    note = "B: the threshold was chosen on this very split: every figure is optimistic"
    flattered = comparison | {"optimistic": {"a": False, "b": True}, "notes": [note]}
    told = section(render_page(metrics, predictions, (), flattered).read_text(), "comparison")
    assert (
        f"{note}. Figures of B are marked † : expect less on other games, and so another difference." in told
    )
    # The verdict, B's name, its one figure, and the words on the mark.
    assert told.count("†") == 4 and "0.863 †" in told and "0.850 †" not in told
    data = data_of(page)
    assert data["clips"][0]["b_outcome"][10:15] == "00000"
    listed = {(clip, place) for clip, place, _ in data["entries"]}
    assert {(0, 1), (0, 2), (0, 12)} <= listed


def test_pictures_of_unknown_frames_do_no_harm(render_page: Render, metrics: dict, predictions: Columns):
    stray = FramePicture("nobody", Size(4, 4), b"jpeg", b"jpeg")
    data = data_of(render_page(metrics, predictions, [stray]).read_text())
    assert all(picture == -1 for *_, picture in data["entries"])
