"""How fast the rubric scores and the data tools prepare: `just bench`. Exit code 1 under LEAST_SCORED
(with lines as written) or LEAST_PREPARED.

Scores eight samples of every query in data/, one query after the other, as reinforcement learning and best-of-N do: the
written lines, of which each sample has an order of its own; then the same with a word of another example put into each
line, so that no line comes twice.
"""

import json
import random
import sys
import tempfile
import time
from pathlib import Path

import qmd
import reward
from dataset import prepare_data
from dataset.schema import load_examples
from query import read_query

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = 8
LEAST_SCORED, LEAST_PREPARED = 5000, 8000  # a second


def samples(*, distinct: bool) -> list[tuple[str, str]]:
    """(query, expansion) pairs, SAMPLES a query; with `distinct` no line comes twice."""
    chance = random.Random(0)
    examples = load_examples(ROOT / "data")
    borrowed = [line.text.split()[0] for example in examples for line in example.output if line.type == "vec"]
    made = []
    for number, example in enumerate(examples):
        for sample in range(SAMPLES):
            word = borrowed[(number * 31 + sample * 7 + 1) % len(borrowed)]
            lines = [(kind, _with(kind, text, word) if distinct else text) for kind, text in example.output]
            chance.shuffle(lines)
            made.append((example.query, qmd.render(lines)))
    return made


def _with(kind: str, text: str, word: str) -> str:
    """The text with a word more at its end, in the place of the last term of a lex line."""
    kept = text.rsplit(" ", 1)[0] if kind == "lex" and '"' not in text else text
    return f"{kept} {word}"


def score_rate(made: list[tuple[str, str]]) -> float:
    """Expansions a second: the best of three passes, each of which reads every query anew."""
    passes = []
    for _ in range(3):
        read_query.cache_clear()
        started = time.perf_counter()
        for query, expansion in made:
            reward.score_expansion(query, expansion)
        passes.append(len(made) / (time.perf_counter() - started))
    return max(passes)


def main() -> int:
    """Print the rates."""
    scored = score_rate(samples(distinct=False))
    print(f"score_expansion: {scored:,.0f} expansions a second (as written)")
    print(f"score_expansion: {score_rate(samples(distinct=True)):,.0f} expansions a second (no line twice)")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "x.jsonl"
        examples = [json.loads(row) for path in (ROOT / "data").glob("*.jsonl") for row in path.open(encoding="utf-8")]
        with source.open("w", encoding="utf-8") as file:
            for number in range(50_000):
                example = examples[number % len(examples)]
                file.write(json.dumps({**example, "query": f"{number} {example['query']}"}, ensure_ascii=False) + "\n")
        started = time.perf_counter()
        prepare_data.prepare(source, Path(folder) / "out")
        prepared = 50_000 / (time.perf_counter() - started)
    print(f"prepare_data: {prepared:,.0f} rows a second")
    return 0 if scored >= LEAST_SCORED and prepared >= LEAST_PREPARED else 1


if __name__ == "__main__":
    sys.exit(main())
