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
"""Evaluate a model of the Hub in the cloud, and keep the results where the gate finds them.

    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B
    hf jobs uv run jobs/eval.py tobil/qmd-query-expansion-1.7B-gguf/qmd-query-expansion-1.7B-q8_0.gguf --seeds 1
    uv run jobs/eval.py Qwen/Qwen3-1.7B --local -o base.json

The results of one of this project's own repositories go to its branch `evaluation`, which the gate of publish.py reads:
so a deployed model is measured again after a change of the rubric or of the queries, and main stays as it is. Those of
any other model, of an older commit or of fewer queries stay in the owner's bucket. A job that was cut off goes on in
the next one, by the same command.

Exit code 2 for bad input, 1 for an unfinished evaluation or when the Hub refuses.
"""

import argparse
import shutil
import sys
from pathlib import Path

import base
import cloud
import evaluation
import expand
import hub
from dataset import console
from dataset.schema import load_queries

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="owner/name, owner/name@revision or owner/name/file.gguf")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(evaluation.SEEDS), help="of QMD's sampling")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th query, N of them")
    parser.add_argument("--owner", help=f"of the bucket (default: QMD_HUB_OWNER, or {hub.OWNER})")
    parser.add_argument("--minutes", type=float, default=50, help="of the job; then it saves and ends (default: 50)")
    parser.add_argument("--local", action="store_true", help="keep nothing outside this machine")
    parser.add_argument("-o", "--output", type=Path, help="write the results here, too")
    args = parser.parse_args()
    if (args.limit is not None and args.limit < 1) or args.minutes <= 0:
        parser.error("--limit and --minutes want more than 0")
    return args


def main() -> int:
    """Evaluate, print and keep."""
    args = parse_arguments()
    repository = hub.repository_of(args.model)
    if not repository:
        print(f"eval.py: {args.model}: is no model on the Hub (owner/name, or owner/name/file.gguf)", file=sys.stderr)
        return 2
    try:
        queries = evaluation.spread(load_queries(ROOT / "evals" / "queries.txt"), args.limit)
        expander = expand.load_expander(args.model)
        folder = Path("outputs") / f"eval-{repository.replace('/', '--')}-{expander.commit[:12]}-{len(queries)}"
        owner = None if args.local else hub.repository("merged", args.owner).split("/")[0]
        mirror = cloud.Mirror(owner, folder, args.minutes)
        mirror.down()
        with mirror.kept():
            file = folder / f"{Path(args.model).name.partition('@')[0]}.json"
            results = evaluation.evaluate_into(file, expander, queries, seeds=args.seeds)
        evaluation.print_results(results)
        if args.output:
            shutil.copyfile(file, args.output)
        whole = args.limit is None and hub.is_ours(repository) and expander.commit == hub.head(repository)
        if whole and not args.local:
            parent = hub.head(repository, hub.EVALUATION)
            said = f"{expander.commit[:12]} measured again"
            commit = hub.push(repository, {evaluation.RESULTS: file}, said, parent, hub.EVALUATION)
            print(f"{repository}: results are on the branch {hub.EVALUATION}, as {commit[:12]}")
        elif not args.local:
            print(f"results are in {mirror.place}")
    except base.LoadError as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 2
    except hub.HubError as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(main)
