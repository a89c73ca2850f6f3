"""A model made public: the evaluations that belong to its card, and the upload to the Hugging Face hub."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, ModelCard, constants
from huggingface_hub.errors import EntryNotFoundError, HFValidationError

from tracknet.models import persistence
from tracknet.models.model_card import Evaluation, model_card
from tracknet.models.model_folder import resolve_model_folder
from tracknet.utils.errors import RunError, UserError, first_line

if TYPE_CHECKING:
    from tracknet.models.model import TrackNet

_METRICS = "evaluation/*/metrics.json"


def push(
    model: TrackNet,
    repo_id: str,
    *,
    private: bool = True,
    license: str | None = None,
    evaluations: Sequence[Evaluation] = (),
    half: bool = False,
    token: str | None = None,
    message: str = "Upload of a TrackNet model",
) -> str:
    """Uploads weights, config and card to the Hugging Face hub, in one commit.

    Args:
        model: what to publish.
        repo_id: `owner/name`; made if absent.
        private: only you see a repository made here. `False` shows it to everyone.
        license: identifier for the card; by default the one that the card on the hub states already.
        evaluations: for the card's table, as `evaluations_of` finds them.
        half: weights in float16.
        token: of the hub; by default the one that `hf auth login` or HF_TOKEN gave.
        message: of the commit.

    Returns:
        The address of the repository.

    Raises:
        UserError: a name that cannot be, no access, or a public repository where a private one is asked for.
        RunError: the hub cannot be reached, or refuses.

    """
    if constants.is_offline_mode():
        raise UserError(
            f"cannot upload to {repo_id}: HF_HUB_OFFLINE forbids it", remedy="unset HF_HUB_OFFLINE"
        )
    api = HfApi(token=token)
    try:
        address = api.create_repo(repo_id, private=private, repo_type="model", exist_ok=True)
        if private and not api.model_info(repo_id).private:
            raise UserError(
                f"{repo_id} is public: what is uploaded there everyone sees",
                remedy="choose another name, or agree to it: private=False (--public)",
            )
        with tempfile.TemporaryDirectory() as scratch:
            license = license or _licence_there(api, repo_id, Path(scratch) / "there")
            card = model_card(model, name=repo_id, evaluations=evaluations, license=license)
            folder = persistence.save(model, Path(scratch) / "model", card=card, half=half)
            api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    except UserError:
        raise
    except HFValidationError as error:
        raise UserError(
            f"{repo_id!r} cannot be a name on the hub: {error}", remedy="use owner/name"
        ) from None
    except Exception as error:  # httpx, requests or OS errors, whichever huggingface_hub uses
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise UserError(
                f"the hub lets you write no {repo_id} (HTTP {status})",
                remedy="log in with a token that may write (`hf auth login`, or HF_TOKEN), under your own name",
            ) from error
        first = first_line(error)
        raise RunError(
            f"the upload to {repo_id} failed: {first}",
            remedy="try again; what the hub has stays as it was, for the files come in one commit",
        ) from error
    return str(address)


def evaluations_of(run: Path, model: TrackNet) -> tuple[list[Evaluation], list[str]]:
    """The evaluations in a run folder that are of these weights.

    Args:
        run: with `evaluation/SPLIT/metrics.json` in it; any other folder has none.
        model: as loaded from the run.

    Returns:
        The evaluations by name of their split, and a note for each that was left out.

    """
    found: list[Evaluation] = []
    notes: list[str] = []
    paths = sorted(run.glob(_METRICS))
    if not paths:
        return found, notes
    folder = resolve_model_folder(run)
    for path in paths:
        try:
            plain: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            notes.append(f"{path} is no JSON and was left out of the card: {error}")
            continue
        if not isinstance(plain, dict) or "protocols" not in plain:
            notes.append(f"{path} holds no evaluation and was left out of the card")
            continue
        if reason := _of_other_weights(plain, path, run, folder, model):
            notes.append(f"{path} {reason}: left out of the card; evaluate the model again")
            continue
        found.append(plain)
    return found, notes


def _of_other_weights(
    evaluation: Evaluation, path: Path, run: Path, folder: Path, model: TrackNet
) -> str | None:
    named = evaluation.get("model")
    if not named or not _is_folder(str(named), run, folder):
        return f"is of {named or 'a model that it does not name'}, not of {folder}"
    threshold = evaluation.get("threshold")
    if threshold != float(model.score_threshold):
        return f"was made with threshold {threshold}, and the model's is {model.score_threshold}"
    if path.stat().st_mtime < (folder / persistence.WEIGHTS_NAME).stat().st_mtime:
        return "is older than the weights"
    return None


def _is_folder(named: str, run: Path, folder: Path) -> bool:
    """Whether the model that an evaluation names is that in `folder`.

    It is named as it was typed, in the working folder of then: this one, or the run or one above it.
    """
    path, there = Path(named).expanduser(), folder.resolve()
    bases = (Path.cwd(), run.resolve(), *run.resolve().parents)
    return any((base / path).resolve() == there for base in bases)


def _licence_there(api: HfApi, repo_id: str, cache: Path) -> str | None:
    """What the card on the hub says, which its owner may have written by hand.

    It does not go into the user's own cache, where a card alone would pass for the model.
    """
    try:
        there = api.hf_hub_download(repo_id, persistence.CARD_NAME, cache_dir=cache)
        card = Path(there).read_text(encoding="utf-8")
        stated = ModelCard(card, ignore_metadata_errors=True).data.get("license")
    except (EntryNotFoundError, ValueError):
        return None
    return stated if isinstance(stated, str) else None
