# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
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
#   "scipy",
#   "torch",
#   "transformers",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.hf-jobs]
# flavor = "cpu-upgrade"
# secrets = ["HF_TOKEN"]
# timeout = "2h"
# ///
"""Turn an adapter or a merged model of the Hub into GGUF files in the cloud, and publish them if they are better.

    hf jobs uv run jobs/gguf.py tobil/qmd-query-expansion-1.7B-sft
    hf jobs uv run jobs/gguf.py tobil/qmd-query-expansion-1.7B@3f2a91c --quants q4_k_m,q6_k,q8_0

Merges, converts, quantises, checks every file against the model (gguf_files.py), evaluates the best one under QMD's
grammar, and pushes through the gate. Exit code 2 for bad input, 1 for files that do not pass or a model that the gate
refuses.
"""

import argparse
import sys
from pathlib import Path

import base
import evaluation
import expand
import gguf_files
import hub
import publish
from dataset import console
from dataset.schema import load_queries

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="owner/name or owner/name@revision of an adapter or a merged model")
    parser.add_argument("--owner", help=f"of the GGUF repository (default: QMD_HUB_OWNER, or {hub.OWNER})")
    parser.add_argument("--quants", default="q4_k_m,q8_0", help="with commas (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="that the best file is evaluated with")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th evaluation query, N of them")
    parser.add_argument("--no-publish", action="store_true", help="make and check the files alone")
    return parser.parse_args()


def main() -> int:
    """Make, check, evaluate, publish."""
    args = parse_arguments()
    name, output = hub.REPOSITORIES["merged"], Path("gguf")
    try:
        quants = gguf_files.known_quants(args.quants)
        gguf_files.write(args.model, [], quants, output, name, queries=min(20, args.limit or 20))
        queries = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), args.limit)
        expander = expand.load_expander(gguf_files.best_file(output, name, quants))
        results = evaluation.evaluate_into(output / publish.RESULTS, expander, queries, seeds=args.seeds)
        evaluation.print_results(results)
        if args.no_publish:
            return 0
        candidate = publish.read_candidate("gguf", output, None, None)
        return publish.publish_model(candidate, hub.repository("gguf", args.owner))
    except (base.LoadError, publish.PublishError, evaluation.ResultsError) as error:
        print(f"gguf.py: {error}", file=sys.stderr)
        return 2
    except (hub.HubError, gguf_files.ConversionError) as error:
        print(f"gguf.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)
