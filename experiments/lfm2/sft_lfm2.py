# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "datasets",
#   "huggingface_hub",
#   "matplotlib",
#   "numpy",
#   "peft",
#   "pydantic>=2.12",
#   "pyyaml",
#   "qmd-expansion",
#   "rich",
#   "safetensors",
#   "scipy",
#   "torch",
#   "transformers",
#   "trl",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "../..", editable = true }
# ///
"""Train an adapter for LiquidAI's LFM2-1.2B, convolutions and attention, in place of Qwen3-1.7B.

    uv run experiments/lfm2/sft_lfm2.py                  # sft_lfm2.yaml beside this file; needs a GPU
    uv run experiments/lfm2/sft_lfm2.py --dry-run        # what would happen, in seconds, without weights
    uv run convert_gguf.py outputs/sft_lfm2
    uv run eval.py outputs/sft_lfm2 --compare outputs/sft/eval_results.json

It is `train.py sft` with another recipe, with the same options, outputs and exit codes.
"""

import argparse
from pathlib import Path

import train
from dataset import console

RECIPE = Path(__file__).resolve().with_suffix(".yaml")


def main() -> int:
    """Train, or say what would be trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    return train.run("sft_lfm2.py", train.parse_arguments(parser, RECIPE))


if __name__ == "__main__":
    console.run(main)
