"""A model that asks to be published: its files, and what was measured of just these."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base
import evaluation
import gate
import hub
import retrieval_results
from dataset.files import sha256_of

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "*.model")
ADAPTER = (base.ADAPTER, "adapter_config.json", *TOKENIZER)
FILES: dict[hub.Kind, tuple[str, ...]] = {  # and what the run says of itself
    "adapter": ADAPTER,
    "grpo": (*ADAPTER, f"{base.SFT}/*"),  # with the adapter below it
    "merged": ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", *TOKENIZER),
    "gguf": ("Modelfile", "report.json"),  # and the files that the report names
}
SEARCH, BASE_RESULTS = "retrieval_results.json", "base_results.json"  # beside evaluation.RESULTS


class PublishError(ValueError):
    """What can't be published as it is, in one line."""


@dataclass(frozen=True)
class Candidate:
    """A model that asks to be published: its files by their names in the repository, and what was measured of it."""

    kind: hub.Kind
    files: Mapping[str, Path]
    measured: str | None  # the file that the results are of, where there are several models
    results: Mapping[str, Any]
    search: Mapping[str, Any] | None
    base_results: Mapping[str, Any] | None
    run: Mapping[str, Any] | None


def read_candidate(
    kind: hub.Kind,
    folder: Path,
    results: Path | None = None,
    search: Path | None = None,
    base_results: Path | None = None,
) -> Candidate:
    """Gather what is to be published. Raises PublishError; ResultsError for a results file, LoadError for run.json.

    The results, of search too, have to be of these very weights: their hash is in them. Those of the base, by default
    in the folder if there are any, have to be of the same queries.
    """
    held = [path for name in (*FILES[kind], *base.RUN_FILES) for path in sorted(folder.glob(name))]
    files = {path.relative_to(folder).as_posix(): path for path in held}
    models = _gguf_files(folder) if kind == "gguf" else {}
    if not models and not any(name.endswith(".safetensors") for name in files):
        raise PublishError(f"{folder}: holds no {kind} model")
    place = results or folder / evaluation.RESULTS
    found = evaluation.read_results(place)
    weights = {evaluation.identity(path)[0]: name for name, path in (models or {None: folder}).items()}
    if found["settings"]["weights"] not in weights:
        raise PublishError(f"{place}: is of other weights than those in {folder}: evaluate them")
    searched = retrieval_results.read_results(search) if search else None
    if searched and searched["expander"].get("weights") not in weights:
        raise PublishError(f"{search}: is of other weights than those in {folder}: search with them")
    if not base_results and (folder / BASE_RESULTS).is_file():
        base_results = folder / BASE_RESULTS
    untuned = evaluation.read_results(base_results) if base_results else None
    if untuned:
        gate.check_same_questions(found["settings"], untuned["settings"])
    return Candidate(
        kind,
        {**files, **models},
        weights[found["settings"]["weights"]],
        found,
        searched,
        untuned,
        base.read_run(folder),
    )


def _gguf_files(folder: Path) -> dict[str, Path]:
    """The files that the report names, which are those that were checked together."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        hashes = {row["file"]: row["sha256"] for row in report}
    except (OSError, ValueError, KeyError, TypeError):
        raise PublishError(f"{folder / 'report.json'}: is not what convert_gguf.py writes") from None
    for name, sha256 in hashes.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
            raise PublishError(f"{folder / name}: is not the file that report.json describes: convert again")
    return {name: folder / name for name in hashes}


def base_of(candidate: Candidate) -> str:
    """The base model's name, from the run or the adapter. Raises PublishError."""
    if candidate.run:
        return candidate.run["recipe"]["model"]["base"]
    if found := candidate.files.get("adapter_config.json"):
        return json.loads(found.read_text(encoding="utf-8"))["base_model_name_or_path"]
    raise PublishError("run.json is missing beside the files: nothing else says which model they were made from")
