# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "gguf",
#   "huggingface_hub",
#   "llama-cpp-python==0.3.36",
#   "numpy",
#   "peft",
#   "pydantic>=2.12",
#   "rich",
#   "scipy",
#   "torch",
#   "transformers",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.hf-jobs]
# flavor = "a10g-small"
# secrets = ["HF_TOKEN"]
# timeout = "1h"
# ///
"""Evaluate a model of the Hub in the cloud, and keep the results on the branch `evaluation` of its repository.

    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B
    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B-gguf/qmd-query-expansion-1.7B-q8_0.gguf --seeds 1
    uv run jobs/eval.py someone/their-model@v1 --no-upload -o theirs.json

The gate of publish.py reads that branch, so that a deployed model can be measured again after a change of the rubric or
of the queries; main stays as it is. Exit code 2 for bad input, 1 when the Hub refuses.
"""

import argparse
import sys
from pathlib import Path

import base
import evaluation
import expand
import hub
from dataset import console
from dataset.schema import load_queries

ROOT = Path(__file__).resolve().parent
RESULTS = "eval_results.json"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="owner/name, owner/name@revision or owner/name/file.gguf")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(evaluation.SEEDS), help="of QMD's sampling")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th query, N of them")
    parser.add_argument("--no-upload", action="store_true", help="evaluate alone")
    parser.add_argument("-o", "--output", type=Path, default=Path(RESULTS), help="write the results here, too")
    return parser.parse_args()


def main() -> int:
    """Evaluate, print and upload."""
    args = parse_arguments()
    repository = hub.repository_of(args.model)
    if not repository:
        print(f"eval.py: {args.model}: is no model on the Hub (owner/name, or owner/name/file.gguf)", file=sys.stderr)
        return 2
    try:
        queries = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), args.limit)
        expander = expand.load_expander(args.model)
        results = evaluation.evaluate_into(args.output, expander, queries, seeds=args.seeds)
        evaluation.print_results(results)
        if not args.no_upload:
            parent = hub.head(repository, hub.EVALUATION)
            files = {RESULTS: args.output}
            commit = hub.push(repository, files, f"Score of {expander.commit}", parent, hub.EVALUATION)
            print(f"{repository}: results are on the branch {hub.EVALUATION}, as {commit[:12]}")
    except base.LoadError as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 2
    except hub.HubError as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(main)
