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
    uv run publish.py adapter outputs/sft              # with eval_results.json in it
    uv run publish.py merged outputs/sft/gguf/merged --results merged_results.json
    uv run publish.py gguf outputs/sft/gguf --results gguf_results.json --retrieval search.json
    uv run publish.py rollback tobil/qmd-query-expansion-1.7B-gguf COMMIT

A push is one commit, with a new card; main changes in no other way. The deployed results are those in the repository,
or on its branch `evaluation` where what main holds was measured again. A repository whose weights nobody measured is
left alone: evaluate them first (jobs/eval.py). The token is the environment's (HF_TOKEN) or the login's
(hf auth login).

Exit code 2 for bad input, 1 when the gate or the Hub refuses; nothing is changed then.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import base
import card
import evaluation
import gate
import hub
import retrieval_results
from candidate import BASE_RESULTS, FILES, SEARCH, Candidate, PublishError, base_of, read_candidate
from dataset import console
from dataset.files import sha256_of
from dataset.prepare_data import LEARNED, USUAL, read_prepared
from dataset.schema import SchemaError

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Deployed:
    """What main holds: the commit, its files, and what was measured of them."""

    commit: str
    files: Mapping[str, Any]
    results: Mapping[str, Any] | None
    search: Mapping[str, Any] | None
    base_results: Mapping[str, Any] | None


# --- The deployed model --------------------------------------------------------------------------------


def read_deployed(repository: str, commit: str | None, candidate: Candidate) -> Deployed | None:
    """What main holds at a commit; None if there is no model yet. Raises HubError.

    Of the results in main and on the branch `evaluation`, those count that are of main's weights and can be compared
    with the candidate's; the branch comes first, being newer.
    """
    files = hub.tree(repository, commit) if commit else {}
    weights = _weights(repository, commit, files) if commit else set()
    if not weights:
        return None
    found = None
    for revision in (hub.EVALUATION, commit):
        place = hub.file_of(repository, evaluation.RESULTS, revision)
        try:
            results = evaluation.read_results(place) if place else None
            if results and results["settings"]["weights"] in weights:
                gate.check_comparable(candidate.results["settings"], results["settings"])
                found = results
                break
        except evaluation.ResultsError as error:
            print(f"{repository}@{revision}: {error}")
    search = hub.file_of(repository, SEARCH, commit)
    try:
        searched = retrieval_results.read_results(search) if search else None
    except evaluation.ResultsError as error:
        print(f"{repository}@{commit}: {error}")
        searched = None
    return Deployed(commit, files, found, searched, _base_results(repository, commit, candidate))


def _base_results(repository: str, commit: str, candidate: Candidate) -> dict[str, Any] | None:
    """What main says of the untuned base, if it is the candidate's, too, and was asked the same."""
    place = hub.file_of(repository, BASE_RESULTS, commit)
    if not place:
        return None
    try:
        untuned = evaluation.read_results(place)
        gate.check_same_questions(candidate.results["settings"], untuned["settings"])
    except evaluation.ResultsError:
        return None
    return untuned if hub.split_revision(untuned["settings"]["model"])[0] == base_of(candidate) else None


def _weights(repository: str, commit: str, files: Mapping[str, Any]) -> set[str]:
    """The identities (`evaluation.identity`) of the models in a commit: one of all safetensors, one of each GGUF."""
    hashes = {}
    for path, entry in sorted(files.items()):
        if path.endswith((".safetensors", ".gguf")):
            hashes[path] = entry.lfs.sha256 if entry.lfs else sha256_of(hub.file_of(repository, path, commit))
    tensors = [sha256 for path, sha256 in hashes.items() if path.endswith(".safetensors")]
    models = [tensors] if tensors else [[sha256] for sha256 in hashes.values()]
    return set(map(evaluation.weights_hash, models))


# --- Pushing -------------------------------------------------------------------------------------------


def publish_model(candidate: Candidate, repository: str, *, reason: str | None = None, dry_run: bool = False) -> int:
    """Push a candidate through the gate; `reason` opens it. Returns 0 if main holds it now, else 1.

    Raises HubError, PublishError, ResultsError; main is untouched then.
    """
    hub.check_unversioned(repository)
    parent = hub.head(repository)
    deployed = read_deployed(repository, parent, candidate)
    contents: dict[str, Path | bytes] = {**candidate.files, evaluation.RESULTS: _as_json(candidate.results)}
    if candidate.search:
        contents[SEARCH] = _as_json(candidate.search)
    untuned = candidate.base_results or (deployed.base_results if deployed else None)
    if untuned:
        contents[BASE_RESULTS] = _as_json(untuned)
    if candidate.run:
        contents["recipe.yaml"] = card.as_yaml(candidate.run["recipe"]).encode()
    measured = deployed.results if deployed else None
    if measured and measured["settings"]["weights"] == candidate.results["settings"]["weights"]:
        # The model that is there already: what may be new is files beside it, such as another quantisation.
        if _is_there(candidate, deployed):
            print(f"{repository} holds this model already ({deployed.commit[:12]}): nothing to push")
            return 0
        checks = []
    else:
        checks = _checks(repository, candidate, deployed)
    refused = [check.what for check in checks if not check.passes]
    if refused and not reason:
        print(f"publish.py: {repository}: refused for {', '.join(refused)}; nothing was pushed", file=sys.stderr)
        return 1
    text = card.ModelCard(
        kind=candidate.kind,
        repository=repository,
        results=candidate.results,
        base_model=base_of(candidate),
        deployed=measured,
        base_results=untuned,
        search=candidate.search,
        checks=checks,
        first=deployed is None,
        run=candidate.run,
        files=list(candidate.files),
        measured=candidate.measured,
        reason=reason if refused else None,
    ).render()
    score = candidate.results["summary"]["score"]
    against = f", {measured['summary']['score']:.1f} before" if measured else ""
    return _push(repository, {**contents, "README.md": text.encode()}, f"Score {score:.1f}{against}", parent, dry_run)


def _is_there(candidate: Candidate, deployed: Deployed) -> bool:
    """Whether main holds all of a candidate whose model it holds; what was timed may differ."""
    files = {name: path for name, path in candidate.files.items() if name != "report.json"}
    same = all(hub.holds(deployed.files.get(name), path) for name, path in files.items())
    return same and (not candidate.search or SEARCH in deployed.files)


def _checks(repository: str, candidate: Candidate, deployed: Deployed | None) -> list[gate.Check]:
    """What the gate says, printed."""
    if not deployed:
        print(f"{repository} holds no model yet: this is the first")
        return []
    if not deployed.results:
        why = f"nothing comparable was measured of what main holds: hf jobs uv run jobs/eval.py {repository}"
        checks = [gate.Check("the deployed model's results", "", "none", False, why)]
    else:
        checks = gate.compare(candidate.results, deployed.results, candidate.search, deployed.search)
    gate.print_checks(checks)
    return checks


def publish_dataset(folder: Path, repository: str, *, dry_run: bool = False) -> int:
    """Push prepared data, checked row by row. Returns 0. Raises HubError, SchemaError."""
    hub.check_unversioned(repository)
    rows, info = read_prepared(folder)
    for key in LEARNED:
        if (found := info["parameters"][key]) != (usual := getattr(USUAL, key)):
            raise SchemaError(folder, None, f"was prepared with {key} {found}; what is published has {usual}")
    parent = hub.head(repository)
    names = ("train.jsonl", "val.jsonl", "dataset_info.json")
    contents: dict[str, Path | bytes] = {name: folder / name for name in names}
    contents["README.md"] = card.dataset_card(repository, info, rows["train"][0]).encode()
    there = hub.tree(repository, parent) if parent else {}
    if all(hub.holds(there.get(name), content) for name, content in contents.items()):
        print(f"{repository} holds this data already ({parent[:12]}): nothing to push")
        return 0
    message = f"{len(rows['train'])} examples, {len(rows['val'])} held out"
    return _push(repository, contents, message, parent, dry_run)


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


# --- The command ---------------------------------------------------------------------------------------


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
            "--results", type=Path, help=f"what eval.py -o wrote of it (default: {evaluation.RESULTS} in the folder)"
        )
        model.add_argument("--retrieval", type=Path, help="what eval_retrieval.py -o wrote of it")
        model.add_argument(
            "--base-results",
            type=Path,
            help=f"what eval.py -o wrote of the untuned base (default: {BASE_RESULTS} in the folder, or in main)",
        )
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
        candidate = read_candidate(args.what, args.path, args.results, args.retrieval, args.base_results)
        return publish_model(candidate, repository, reason=args.force, dry_run=args.dry_run)
    except (PublishError, SchemaError, base.LoadError, evaluation.ResultsError) as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 2
    except hub.HubError as error:
        print(f"publish.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)
