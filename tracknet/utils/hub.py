"""Loading by name: a local folder, the local cache, and only then the Hugging Face hub.

What is cached is loaded without a word to the network. What is not is asked for once with a short time-out:
left alone, transformers retries an unreachable hub for many seconds per file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from tracknet.utils.errors import UserError, first_line

_PROBE_TIMEOUT_S = 10.0
_LOADING_ERRORS = (OSError, ValueError, RuntimeError, SafetensorError)
_T = TypeVar("_T")


def on_hub(name: str, load: Callable[..., _T], *, remedy: str) -> _T:
    """Calls `load(name, local_files_only=True)`, and without that restriction if the hub answers.

    Args:
        name: hub name (`owner/model`) or local folder.
        load: a `from_pretrained`: takes the name and `local_files_only`, raises `OSError` for missing files.
        remedy: what to do when it cannot be had from the hub.

    Raises:
        UserError: naming what stands in the way, and the remedy.

    """
    folder = Path(name).expanduser()
    name = str(folder) if name.startswith("~") else name
    try:
        with _quiet_transformers():
            return load(name, local_files_only=True)
    except _LOADING_ERRORS as error:
        if folder.is_dir():
            raise UserError(f"cannot load the model in {name}: {first_line(error)}") from error
        if looks_like_path(name):
            raise UserError(f"there is no model folder {name} (looked in {Path.cwd()})") from None
        not_cached = error
    obstacle = _obstacle(name)
    if obstacle is not None:
        raise UserError(
            f"cannot load {name}, which is no folder here: {obstacle}", remedy=remedy
        ) from not_cached
    try:
        return load(name, local_files_only=False)
    except _LOADING_ERRORS as error:
        # transformers wraps a refusal in a plain OSError that talks of the gate.
        why = _GATED if "gated" in str(error).lower() else first_line(error)
        raise UserError(f"cannot load {name}, which is no folder here: {why}", remedy=remedy) from error


def looks_like_path(name: str) -> bool:
    """Whether a name can only be meant as a folder."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def ways_out(name: str) -> str:
    """The three ways to a backbone when this one cannot be had."""
    model_type = next((kind for kind in ("dinov3", "dinov2") if kind in name.lower()), "vit")
    model_type = "dinov3_vit" if model_type == "dinov3" else model_type
    return (
        "one of three ways out:\n"
        f"    1. accept the licence at https://huggingface.co/{name} and log in (`hf auth login`, or HF_TOKEN)\n"
        "    2. download it where there is a network and name its folder: model.backbone.name=PATH\n"
        "    3. use another model: model.backbone.name=facebook/dinov2-small, "
        f"or random weights: model.backbone.name={model_type} model.backbone.pretrained=false"
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No bar and no table of missing keys while loading: what is missing is reported by our own error."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()


def _obstacle(name: str) -> str | None:
    """Why the hub cannot give this model; None when it can."""
    if constants.is_offline_mode():
        return "it is not in the local cache, and HF_HUB_OFFLINE forbids to download it"
    try:
        hub = HfApi()
        hub.model_info(name, timeout=_PROBE_TIMEOUT_S)
        hub.auth_check(name)
    except GatedRepoError:
        return _GATED
    except RepositoryNotFoundError:
        return "the hub has no such model, or it is private and you are not logged in"
    except HFValidationError:
        return "this is neither a folder nor a hub name (owner/model)"
    except Exception as error:  # httpx, requests or OS errors, whichever huggingface_hub uses
        return f"it is not in the local cache, and the hub cannot be reached ({first_line(error)})"
    return None


_GATED = "the model is gated, and you have no access (no token, or its licence is not accepted)"
