"""A benchmark's report: whole, in UTF-8, with one newline at its end."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report_file import write_report


def test_lines_are_a_file_in_a_new_folder(tmp_path: Path) -> None:
    file = tmp_path / "results" / "speed" / "cpu.md"
    write_report(file, ["# Speed", "", "76.3 ± 0.7"])
    assert file.read_bytes() == "# Speed\n\n76.3 ± 0.7\n".encode()
    # Blank lines that were to part this table from the next one.
    write_report(file, ["| a |", "", ""])
    assert file.read_bytes() == b"| a |\n"
    assert [path.name for path in file.parent.iterdir()] == ["cpu.md"]
