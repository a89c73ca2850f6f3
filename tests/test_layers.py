"""Imports run one way, and nothing waits for torch that does not need it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
MODULES = sorted([*CHECKOUT.glob("tracknet/**/*.py"), *CHECKOUT.glob("pipelines/**/*.py")])

# A layer may import itself and these: utils <- datasets, models, reporting <- training, inference <- scripts.
MAY_IMPORT = {
    "utils": set(),
    "datasets": {"utils"},
    "models": {"utils"},
    "reporting": {"utils"},
    "training": {"utils", "datasets", "models", "reporting"},
    "inference": {"utils", "datasets", "models", "reporting"},
    "scripts": {"utils", "datasets", "models", "reporting", "training", "inference"},
}
OF_THE_PIPELINES = (
    "tracknet.datasets.schema",
    "tracknet.datasets.manifest",
    "tracknet.datasets.feature_format",
    "tracknet.datasets.label_csv",
    "tracknet.datasets.label_faults",
    "tracknet.datasets.sample_json",
    "tracknet.utils",
)
# It computes with a network on the frames of a build: the command brings the readers and the models together with
# `pipelines.feature_build`, which like all other pipelines knows neither.
MAY_COMPUTE = "pipelines.build_features"
OF_THE_ONE_THAT_COMPUTES = ("tracknet.datasets", "tracknet.models")


def name_of(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports anywhere in it, also inside functions and for types."""
    name = name_of(path)
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                # `from tracknet import models` imports a module, `from tracknet.x import name` may.
                full = f"{base}.{alias.name}"
                is_module = (CHECKOUT / full.replace(".", "/")).is_dir() or (
                    CHECKOUT / f"{full.replace('.', '/')}.py"
                ).is_file()
                yield full if is_module else base


def layer_of(name: str) -> str | None:
    """`utils` of `tracknet.utils.config`; None of `tracknet` itself and of `tracknet.train`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else None


def test_the_tree_is_what_this_test_knows() -> None:
    folders = {
        path.name for path in (CHECKOUT / "tracknet").iterdir() if path.is_dir() and list(path.glob("*.py"))
    }
    assert folders <= set(MAY_IMPORT), "a new package: say in MAY_IMPORT where it belongs"
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    name = name_of(path)
    imports = set(imported_by(path))
    ours = {other for other in imports if other.split(".")[0] == "tracknet"}
    pipelines = {other for other in imports if other.split(".")[0] == "pipelines"}
    if name.startswith("pipelines"):
        allowed = OF_THE_PIPELINES
        if name == MAY_COMPUTE:
            allowed += OF_THE_ONE_THAT_COMPUTES
        assert not {other for other in ours if not any(is_of(other, name) for name in allowed)}
        return
    # The installed command reaches the pipelines by name, and only when asked for them.
    assert not pipelines
    layer = layer_of(name)
    if layer is None:
        return
    above = {other for other in ours if layer_of(other) not in (None, layer, *MAY_IMPORT[layer])}
    assert not above
    if layer != "scripts":
        assert "tracknet.train" not in ours


def is_of(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def test_the_pipelines_say_what_they_import() -> None:
    pipelines = [path for path in MODULES if name_of(path).startswith("pipelines")]
    imports = {name_of(path): set(imported_by(path)) for path in pipelines}
    own = {MAY_COMPUTE: imports.pop(MAY_COMPUTE)}
    for known, users in ((OF_THE_PIPELINES, imports), (OF_THE_ONE_THAT_COMPUTES, own)):
        used = set().union(*users.values())
        assert not [name for name in known if not any(is_of(other, name) for other in used)]
    text = ast.get_docstring(ast.parse((CHECKOUT / "pipelines" / "__init__.py").read_text())) or ""
    told = {f"tracknet.{name}" for name in re.findall(r"`([\w.]+)`", text)}
    assert told == {*OF_THE_PIPELINES, *OF_THE_ONE_THAT_COMPUTES, f"tracknet.{MAY_COMPUTE.split('.')[1]}"}


def test_the_reader_of_imports_sees_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = CHECKOUT / "tracknet" / "datasets" / "probe.py"
    text = (
        "import tracknet.models.model\nfrom tracknet import training\nfrom ..scripts import train\n"
        "from .plan import EpochPlan\ndef f():\n    from pipelines.build import build\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda self: text)
    assert set(imported_by(path)) == {
        "tracknet.models.model",
        "tracknet.training",
        "tracknet.scripts.train",
        "tracknet.datasets.plan",
        "pipelines.build",
    }


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )


def test_importing_tracknet_does_not_import_torch() -> None:
    done = python(
        "import sys, tracknet\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'TrackNet' in tracknet.__all__\n"
        "try: tracknet.Nothing\n"
        "except AttributeError as error: print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "module 'tracknet' has no attribute 'Nothing'\n"


def test_the_lazy_name_is_the_model() -> None:
    import tracknet
    from tracknet.models.model import TrackNet

    assert tracknet.TrackNet is TrackNet


HELP = """
import importlib, sys
try:
    code = importlib.import_module({module!r}).main(['--help'])
except SystemExit as stop:
    code = stop.code
heavy = [name for name in {slow!r} if name in sys.modules]
sys.exit(f'{{code=}} {{heavy=}}' if code or heavy else 0)
"""


def commands() -> dict[str, str]:
    from tracknet.scripts.cli import COMMANDS

    return {"tracknet": "tracknet.scripts.cli"} | {name: module for name, (module, _) in COMMANDS.items()}


@pytest.mark.parametrize("command", commands())
def test_help_answers_without_heavy_imports(command: str) -> None:
    slow = ["torch", "transformers", "pyarrow"]
    if command != "synthesize":  # the bounds of what it renders are known to the renderer alone
        slow.append("numpy")
    done = python(HELP.format(module=commands()[command], slow=slow))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["-m", "pipelines.index_shards"], "python -m pipelines.index_shards"),
        (["-m", "tracknet.train"], "python -m tracknet.train"),
        (["-c", "from tracknet.scripts.cli import main; main()", "index-shards"], "tracknet index-shards"),
    ],
)
def test_the_usage_line_is_what_was_typed(typed: list[str], shown: str) -> None:
    done = subprocess.run(
        [sys.executable, *typed, "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"usage: {shown} [-h]")


def test_every_script_is_a_command() -> None:
    scripts = {
        f"tracknet.scripts.{path.stem}" for path in (CHECKOUT / "tracknet" / "scripts").glob("[!_]*.py")
    }
    assert scripts - {"tracknet.scripts.cli"} <= set(commands().values())


def test_a_mistyped_command_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    from tracknet.scripts import cli
    from tracknet.utils.errors import EXIT_WRONG_REQUEST, cli_main

    assert cli_main(cli.run, ["trian"]) == EXIT_WRONG_REQUEST
    assert "there is no command 'trian' (did you mean train?)" in capsys.readouterr().err
