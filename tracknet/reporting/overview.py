"""The top of the report: what was evaluated, the one figure, what became of every frame, and where it fails."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tracknet.reporting.markup import count, interval, number, optimism_mark, plain, sentence
from tracknet.reporting.outcomes import OUTCOME_NAMES, Frames
from tracknet.utils.naming import counted
from tracknet.utils.outcome import Outcome

# Parts of a model's path that say nothing about which model it is.
_PLAIN_PARTS = re.compile(r"runs|checkpoints|model|best|last|step_\d+|\.|/")


def model_name(report: Mapping[str, Any]) -> str:
    """What tells this model from others: `quickstart` of `runs/quickstart/checkpoints/best/model`."""
    model = str(report.get("model") or "predictions")
    telling = [part for part in Path(model).parts if not _PLAIN_PARTS.fullmatch(part)]
    return telling[-1] if telling else model


def about(report: Mapping[str, Any], frames: Frames) -> str:
    """What was evaluated, in a line."""
    games, clips = len(set(frames.game)), len(set(zip(frames.game, frames.clip, strict=True)))
    words = [
        f"split <b>{plain(report.get('split'))}</b>",
        f"{len(frames):,} frames",
        counted(clips, "clip"),
        counted(games, "game"),
    ]
    if sizes := report.get("frame_sizes"):
        words.append(f"frames of {plain(sizes)}")
    return " · ".join(words)


def notice(report: Mapping[str, Any]) -> str:
    """What makes the figures less than they seem; nothing where nothing does."""
    notes = [sentence(note) for note in report.get("notes") or []]
    if optimism_mark(report):
        notes.append("Figures marked <b>†</b> depend on that threshold: expect less on other games.")
        if len(notes) == 1:
            notes.insert(0, "The score threshold or the checkpoint was chosen on this very split.")
    if not notes:
        return ""
    title = "<b>Optimistic.</b> " * bool(report.get("optimistic"))
    return f'<div class="notice" role="note">{title}{"<br>".join(notes)}</div>'


def _main_protocol(report: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and figures of the protocol that outcomes and breakdowns go by."""
    protocols = report.get("protocols") or {}
    name = report.get("main_protocol") or next(iter(protocols), "")
    return str(name), protocols.get(name) or {}


def counting_rule(report: Mapping[str, Any]) -> str:
    """By what the page calls a frame found, missed or a false alarm."""
    name, figures = _main_protocol(report)
    words = [
        figures.get("distance"),
        figures.get("counts_as_ball") and f"balls are {figures['counts_as_ball']}",
        figures.get("leaves_out_frames")
        and "the frames left out of its figures are shown here as no ball or false alarm",
    ]
    return escape("; ".join(str(word) for word in (f"Counted by {name}", *words) if word))


def headline(report: Mapping[str, Any]) -> str:
    """The one figure to remember."""
    name, figures = _main_protocol(report)
    value = figures.get("f1")
    mark = optimism_mark(report) if value is not None else ""
    ends = interval((figures.get("intervals") or {}).get("f1"))
    parts = "".join(
        f"<div><dt>{title}</dt><dd>{number(figures.get(key))}{mark if figures.get(key) is not None else ''}</dd></div>"
        for key, title in (("precision", "Precision"), ("recall", "Recall"), ("ap", "AP"))
    )
    return (
        f'<div class="big"><span>F1 · {escape(name)}</span><strong>{number(value)}{mark}</strong>'
        f"<small>{ends and f'95 % interval {ends}'}</small><dl>{parts}</dl></div>"
    )


def outcome_bar(frames: Frames, mark: str = "") -> str:
    """All frames as one bar, and a button per outcome that leads to its frames.

    Args:
        frames: N predicted frames.
        mark: beside every number: all depend on the threshold.
    """
    counts = np.bincount(frames.outcome, minlength=len(OUTCOME_NAMES)).tolist()
    whole, x, bars, legend = max(1, sum(counts)), 0.0, [], []
    for code, name in OUTCOME_NAMES.items():
        width = 1000 * counts[code] / whole
        bars.append(f'<rect class="o{code}" x="{x:.2f}" width="{width:.2f}" height="30"/>')
        x += width
        content = (
            f'<i class="glyph o{code}" aria-hidden="true"></i><span>{name}</span>'
            f"<b>{count(counts[code])}{mark}</b>"
        )
        is_failure = code not in (Outcome.TP, Outcome.TN) and counts[code]
        legend.append(
            f'<li><button type="button" data-show="{code}">{content}</button></li>'
            if is_failure
            else f"<li><span>{content}</span></li>"
        )
    words = ", ".join(f"{counts[code]} {name}" for code, name in OUTCOME_NAMES.items())
    return (
        f'<svg class="bar" viewBox="0 0 1000 30" preserveAspectRatio="none" role="img" aria-label="{words}">'
        f'{"".join(bars)}</svg><ul class="legend">{"".join(legend)}</ul>'
    )


def failure_list(sentences: Sequence[str], frames: int, mark: str = "") -> str:
    """The findings as a list, each with the mark of what flatters; a word where there are none."""
    if not sentences:
        nothing = "No frames were evaluated." if not frames else "Nothing stands out."
        return f'<p class="empty">{nothing}</p>'
    items = "".join(f"<li>{escape(sentence)}{mark}</li>" for sentence in sentences)
    return (
        f'<ul>{items}</ul><p class="hint">Groups are ordered by how many more balls they miss than at the overall '
        "recall; intervals play no part in the order. In brackets: 95 % intervals over clips; a group of one clip is "
        "without.</p>"
    )
