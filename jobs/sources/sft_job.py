# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "datasets",
#   "gguf",
#   "huggingface_hub",
#   "jinja2",
#   "llama-cpp-python==0.3.36",
#   "matplotlib",
#   "numpy",
#   "peft",
#   "psutil",
#   "pydantic>=2.12",
#   "pyyaml",
#   "rich",
#   "safetensors",
#   "scipy",
#   "torch",
#   "transformers",
#   "trl",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.hf-jobs]
# flavor = "a10g-large"
# secrets = ["HF_TOKEN"]
# timeout = "2h"
# ///
"""Train the production adapter in the cloud and publish it, the merged model and GGUF files, if they are better.

    hf jobs uv run jobs/sft.py                                   # flavor, secrets and time-out stand in the header
    hf jobs uv run --flavor a10g-large --secrets HF_TOKEN --timeout 2h jobs/sft.py
    hf jobs uv run jobs/sft.py --set training.epochs=2 --owner me
    uv run jobs/sft.py --no-publish                              # here, on a machine with a GPU

Reads the prepared dataset repository at one commit, checks every row, and trains configs/sft.yaml. The run's folder is
mirrored to a bucket at every checkpoint: a job that was cut off, or stopped itself after --minutes, goes on in the next
one, by the same command. Exit code 2 for bad input, 1 for a run that is unfinished or a model that the gate refuses.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import base
import evaluation
import expand
import gguf_files
import hub
import publish
import sft
from dataset import console
from dataset.prepare_data import SPLITS
from dataset.schema import load_queries
from recipe import Recipe, RecipeError, load_recipe

if TYPE_CHECKING:
    from cloud import Mirror

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="owner/name@revision of prepared data (default: the owner's, its main)")
    parser.add_argument("--owner", help=f"of the repositories (default: QMD_HUB_OWNER, or {hub.OWNER})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the recipe"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="train on the first N examples alone")
    parser.add_argument("--minutes", type=float, default=75, help="of training; then it saves and ends (default: 75)")
    parser.add_argument("--quants", default="q4_k_m,q8_0", help="of the GGUF files (default: %(default)s)")
    parser.add_argument("--gguf-seeds", type=int, nargs="+", default=[1], help="that the GGUF is evaluated with")
    parser.add_argument("--no-publish", action="store_true", help="train and evaluate alone")
    return parser.parse_args()


def main() -> int:
    """Train, or go on with it; then publish."""
    args = parse_arguments()
    import cloud  # imports torch, which a wrong argument should not wait for

    try:
        recipe = load_recipe(ROOT / "configs" / "sft.yaml", args.set)
        quants = gguf_files.known_quants(args.quants)
        name, revision = hub.split_revision(args.dataset or hub.repository("dataset", args.owner))
        data, commit = hub.snapshot(name, revision, [*(f"{s}.jsonl" for s in SPLITS), "dataset_info.json"], "dataset")
        print(f"data: {name}@{commit}; to go on with just this: --dataset {name}@{commit}", flush=True)
        run = Path("outputs") / f"sft-{recipe.digest()}-{commit[:12]}"
        owner = hub.repository("adapter", args.owner).split("/")[0]
        mirror = cloud.Mirror(owner, run.name, run)
        mirror.down()
        callbacks = [cloud.MirrorCheckpoints(mirror)]
        code = sft.train(recipe, data, run, limit=args.limit, minutes=args.minutes, callbacks=callbacks)
        mirror.up()
        if code or args.no_publish:
            return code
        return publish_all(recipe, run, quants, args, mirror)
    except (RecipeError, ValueError) as error:
        print(f"sft.py: {error}", file=sys.stderr)
        return 2
    except (hub.HubError, base.LoadError, gguf_files.ConversionError) as error:
        print(f"sft.py: {error}", file=sys.stderr)
        return 1


def publish_all(recipe: Recipe, run: Path, quants: list[str], args: argparse.Namespace, mirror: "Mirror") -> int:
    """Publish the adapter, and what is made of it, each through its gate; the first refusal ends it with 1."""
    adapter = publish.read_candidate("adapter", run, None, None)
    if code := publish.publish_model(adapter, hub.repository("adapter", args.owner)):
        return code
    files = run / "gguf"
    name = hub.REPOSITORIES["merged"]
    if not (files / "merged").exists():
        gguf_files.write(str(run), [], quants, files, name, queries=min(20, recipe.evaluation.queries or 20))
        mirror.up()
    asked = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), recipe.evaluation.queries)
    for kind, folder, model, seeds in (
        ("merged", files / "merged", files / "merged", recipe.evaluation.seeds),
        ("gguf", files, gguf_files.best_file(files, name, quants), args.gguf_seeds),
    ):
        results = folder / publish.RESULTS
        evaluation.evaluate_into(results, expand.load_expander(model), asked, seeds=seeds)
        mirror.up()
        candidate = publish.read_candidate(kind, folder, results, None)
        if code := publish.publish_model(candidate, hub.repository(kind, args.owner)):
            return code
    return 0


if __name__ == "__main__":
    console.run(main)
