# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "huggingface_hub",
#   "jinja2",
#   "numpy",
#   "pydantic>=2.12",
#   "pyyaml",
#   "rich",
#   "scipy",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Publish data or a model on the Hub: a model only if its evaluation beats the deployed one's (gate.py).

    uv run publish.py dataset                          # data/train/, as prepare_data.py wrote it
    uv run publish.py adapter outputs/sft              # with eval_results.json beside it
    uv run publish.py merged outputs/sft/gguf/merged --results merged_results.json
    uv run publish.py gguf outputs/sft/gguf --results gguf_results.json --retrieval search.json
    uv run publish.py rollback tobil/qmd-query-expansion-1.7B-gguf 3f2a91c

A push is one commit, with a new card; main changes in no other way. The deployed results are those in the repository,
or on its branch `evaluation` where what main holds was measured again. The token is the environment's (HF_TOKEN) or the
login's (hf auth login).

Exit code 2 for bad input, 1 when the gate or the Hub refuses; nothing is changed then.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import card
import evaluation
import gate
import hub
import retrieval_results
from dataset import console
from dataset.prepare_data import read_prepared
from dataset.schema import SchemaError

ROOT = Path(__file__).resolve().parent
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "*.model")
RUN = ("run.json", "metrics.jsonl", "loss.png")
FILES: dict[hub.Kind, tuple[str, ...]] = {
    "adapter": ("adapter_model.safetensors", "adapter_config.json", *TOKENIZER, *RUN),
    "grpo": ("adapter_model.safetensors", "adapter_config.json", *TOKENIZER, *RUN),
    "merged": ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", *TOKENIZER, *RUN),
    "gguf": ("*.gguf", "Modelfile", "report.json", *RUN),
}
NEEDED = {
    "adapter": "adapter_model.safetensors",
    "grpo": "adapter_model.safetensors",
    "merged": "config.json",
    "gguf": "*.gguf",
}
RESULTS, SEARCH = "eval_results.json", "retrieval_results.json"


class PublishError(ValueError):
    """What can't be published as it is, in one line."""


@dataclass(frozen=True)
class Candidate:
    """A model that asks to be published: its files by their names in the repository, and what was measured of it."""

    kind: hub.Kind
    files: Mapping[str, Path]
    results: Mapping[str, Any]
    search: Mapping[str, Any] | None
    run: Mapping[str, Any] | None


def read_candidate(kind: hub.Kind, folder: Path, results: Path | None, search: Path | None) -> Candidate:
    """Gather what is to be published. Raises PublishError, or ResultsError for a results file.

    The results have to be of these very weights: their hash is in them.
    """
    if not folder.is_dir() or not any(folder.glob(NEEDED[kind])):
        raise PublishError(f"{folder}: holds no {NEEDED[kind]}")
    files = {path.name: path for pattern in FILES[kind] for path in sorted(folder.glob(pattern)) if path.is_file()}
    found = evaluation.read_results(results or folder / RESULTS)
    weights = {evaluation.identity(path)[0] for path in (folder.glob("*.gguf") if kind == "gguf" else [folder])}
    if found["settings"]["weights"] not in weights:
        raise PublishError(f"{results or folder / RESULTS}: is of other weights than those in {folder}: evaluate them")
    run = folder / "run.json"
    return Candidate(
        kind,
        files,
        found,
        retrieval_results.read_results(search) if search else None,
        json.loads(run.read_text(encoding="utf-8")) if run.is_file() else None,
    )


def deployed_results(repository: str, commit: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What was measured of the model that main holds at `commit`: by eval.py, and by eval_retrieval.py where it was.

    Results on the branch `evaluation` that are of the same weights come first: they are the newer ones. Raises
    HubError, ResultsError.
    """
    file = hub.file_of(repository, RESULTS, commit)
    results = evaluation.read_results(file) if file else None
    again = hub.file_of(repository, RESULTS, hub.EVALUATION)
    if results and again:
        measured = evaluation.read_results(again)
        if measured["settings"]["weights"] == results["settings"]["weights"]:
            results = measured
    search = hub.file_of(repository, SEARCH, commit)
    return results, retrieval_results.read_results(search) if search else None


def publish_model(
    candidate: Candidate,
    repository: str,
    *,
    base_results: Mapping[str, Any] | None = None,
    reason: str | None = None,
    dry_run: bool = False,
) -> int:
    """Push a candidate through the gate; `reason` opens it. Returns 0 if main holds it now, else 1.

    Raises HubError, PublishError, ResultsError; main is untouched then.
    """
    hub.check_unversioned(repository)
    parent = hub.head(repository)
    deployed, searched = deployed_results(repository, parent) if parent else (None, None)
    weights = candidate.results["settings"]["weights"]
    if deployed and deployed["settings"]["weights"] == weights and not reason:
        print(f"{repository} holds these weights already ({parent[:12]}): nothing to push")
        return 0
    checks: list[gate.Check] = []
    if deployed:
        checks = gate.compare(candidate.results, deployed, candidate.search, searched)
        gate.print_checks(checks)
    else:
        print(f"{repository} holds no evaluated model: this is the first")
    refused = [check.what for check in checks if not check.passes]
    if refused and not reason:
        print(f"publish.py: {repository}: refused for {', '.join(refused)}; nothing was pushed", file=sys.stderr)
        return 1
    text = card.ModelCard(
        kind=candidate.kind,
        repository=repository,
        results=candidate.results,
        base_model=base_of(candidate),
        deployed=deployed,
        base_results=base_results,
        search=candidate.search,
        checks=checks,
        run=candidate.run,
        files=list(candidate.files),
        reason=reason,
    ).render()
    contents: dict[str, Path | bytes] = {**candidate.files, "README.md": text.encode()}
    contents[RESULTS] = _as_json(candidate.results)
    if candidate.search:
        contents[SEARCH] = _as_json(candidate.search)
    score = candidate.results["summary"]["score"]
    against = f", {deployed['summary']['score']:.1f} before" if deployed else ""
    return _push(repository, contents, f"Score {score:.1f}{against}", parent, dry_run)


def base_of(candidate: Candidate) -> str:
    """The base model's name, from the run or the adapter. Raises PublishError."""
    if candidate.run:
        return candidate.run["recipe"]["model"]["base"]
    if found := candidate.files.get("adapter_config.json"):
        return json.loads(found.read_text(encoding="utf-8"))["base_model_name_or_path"]
    raise PublishError("run.json is missing beside the files: nothing else says which model they were made from")


def publish_dataset(folder: Path, repository: str, *, dry_run: bool = False) -> int:
    """Push prepared data, checked row by row. Returns 0. Raises HubError, SchemaError."""
    hub.check_unversioned(repository)
    rows, info = read_prepared(folder)
    parent = hub.head(repository)
    noted = hub.file_of(repository, "dataset_info.json", parent, "dataset") if parent else None
    if noted and json.loads(noted.read_text(encoding="utf-8"))["data_hash"] == info["data_hash"]:
        print(f"{repository} holds this data already ({parent[:12]}): nothing to push")
        return 0
    names = ("train.jsonl", "val.jsonl", "dataset_info.json")
    contents: dict[str, Path | bytes] = {name: folder / name for name in names}
    contents["README.md"] = card.dataset_card(repository, info, rows["train"][0]).encode()
    return _push(
        repository, contents, f"{info['counts']['train']} examples, {info['counts']['val']} held out", parent, dry_run
    )


def _as_json(results: Mapping[str, Any]) -> bytes:
    return (json.dumps(results, ensure_ascii=False, indent=1) + "\n").encode()


def _push(
    repository: str, contents: Mapping[str, Path | bytes], message: str, parent: str | None, dry_run: bool
) -> int:
    if dry_run:
        for name, content in sorted(contents.items()):
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            print(f"{size:>14,}  {name}")
        print(f"\n{contents['README.md'].decode()}")
        print(f"{repository}: nothing was pushed (--dry-run)")
        return 0
    commit = hub.push(repository, contents, message, parent)
    print(f"{repository}: pushed {len(contents)} files as {commit[:12]}")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    data = commands.add_parser("dataset", help="prepared data")
    data.add_argument("path", type=Path, nargs="?", default=ROOT / "data" / "train", help="what prepare_data.py wrote")
    models = [commands.add_parser(kind, help=f"a folder of {kind} files") for kind in FILES]
    for model in models:
        model.add_argument("path", type=Path, help="the folder")
        model.add_argument(
            "--results", type=Path, help=f"what eval.py -o wrote of it (default: {RESULTS} in the folder)"
        )
        model.add_argument("--retrieval", type=Path, help="what eval_retrieval.py -o wrote of it")
        model.add_argument("--base-results", type=Path, help="what eval.py -o wrote of the untuned base, for the card")
        model.add_argument("--force", metavar="REASON", help="push against the gate; the reason goes into the card")
    for command in (data, *models):
        command.add_argument("--owner", help=f"of the repository (default: QMD_HUB_OWNER, or {hub.OWNER})")
        command.add_argument("--dry-run", action="store_true", help="print the files, the gate's table and the card")
    back = commands.add_parser("rollback", help="bring back what main held at a revision, as a new commit")
    back.add_argument("repository", help="owner/name")
    back.add_argument("revision", help="a branch, tag or commit")
    args = parser.parse_args()
    if getattr(args, "force", None) is not None and not args.force.strip():
        parser.error("--force wants a reason")
    return args


def main() -> int:
    """Publish, or say why not."""
    args = parse_arguments()
    try:
        if args.what == "rollback":
            commit = hub.roll_back(args.repository, args.revision, f"Back to {args.revision}")
            print(f"{args.repository}: main holds again what it held at {args.revision}, as {commit[:12]}")
            return 0
        repository = hub.repository(args.what, args.owner)
        if args.what == "dataset":
            return publish_dataset(args.path, repository, dry_run=args.dry_run)
        candidate = read_candidate(args.what, args.path, args.results, args.retrieval)
        base_results = evaluation.read_results(args.base_results) if args.base_results else None
        return publish_model(candidate, repository, base_results=base_results, reason=args.force, dry_run=args.dry_run)
    except (PublishError, SchemaError, evaluation.ResultsError) as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 2
    except hub.HubError as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)
