# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy", "pydantic>=2.12", "qmd-expansion", "rapidfuzz", "rich"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "..", editable = true }
# ///
"""Check every data file against the schema and the data rules, and list everything that is wrong.

    uv run dataset/validate_schema.py                      # all of data/
    uv run dataset/validate_schema.py data/work.jsonl mine.jsonl
    uv run dataset/validate_schema.py --against queries.jsonl  # keep the queries of another collection out, too

The data rules: 1-3 lex, 1-3 vec and at most one hyde a query (with `/only:TYPE` that type alone); no line that QMD
would drop, none twice, none with syntax that QMD refuses; no query or sentence that nearly stands elsewhere in the
data; no query of evals/, nor a near copy of one. Exit code 2 if anything is wrong.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import language
import qmd
from dataset.console import run
from dataset.schema import SchemaError, TrainingExample, data_files, load_queries, normalize, read_rows

ROOT = Path(__file__).resolve().parent.parent
NEAR_COPY = 90  # rapidfuzz ratio, 0 to 100, from which two texts count as copies
LIMITS = {"hyde": (0, 1), "lex": (1, 3), "vec": (1, 3)}  # lines a type: at least, at most


class Located(NamedTuple):
    """An example with the file and line that it stands in."""

    path: Path
    line: int
    example: TrainingExample

    def error(self, problem: str) -> SchemaError:
        """An error about this example."""
        return SchemaError(self.path, self.line, problem)


def rule_errors(example: TrainingExample) -> Iterator[str]:
    """What an example has against the data rules that look at it alone."""
    base, only = qmd.split_mode(example.query)
    counts = Counter(line.type for line in example.output)
    for kind, (least, most) in LIMITS.items():
        low, high = (1, most) if kind == only else (0, 0) if only else (least, most)
        if not low <= counts[kind] <= high:
            yield f"{counts[kind]} {kind} lines, not {low}" + (f" to {high}" if high > low else "")
    for line in example.output:
        if reason := qmd.drop_reason(base, line):
            yield f"QMD would drop “{line}”: it {reason}"
        if line.type == "lex" and qmd.unmatched_quote(line.text):
            yield f"“{line}” has an unmatched double quote"
        elif line.type == "lex" and qmd.fts_query(line.text) is None:
            yield f"“{line}” leaves QMD nothing to search for"
        for term in qmd.lex_terms(line.text) if line.type == "lex" else ():
            if term.dead:
                yield f"“{line}” finds nothing: QMD searches “{term.text}” as {' AND '.join(term.match)}"
        if line.type != "lex" and qmd.has_negation(line.text):
            yield f"“{line}” has a -term, which QMD understands in lex alone"
    for text, times in Counter(normalize(line.text) for line in example.output).items():
        if times > 1:
            yield f"“{text}” stands {times} times"


def content_words(query: str) -> frozenset[str]:
    """The words of a query that carry its meaning; all of them if none does."""
    base, _ = qmd.split_mode(query)
    words = frozenset(language.words(base))
    return words - language.stop_words(language.query_language(base)) or words


def near_copies(texts: Sequence[str], others: Sequence[str] | None = None) -> Iterator[tuple[int, int]]:
    """Index pairs of texts that are alike by NEAR_COPY: within `texts` (first index the smaller), or with `others`."""
    import numpy
    from rapidfuzz import fuzz, process

    block = 1000
    for start in range(0, len(texts), block):
        columns = texts if others is None else others
        ratios = process.cdist(
            texts[start : start + block], columns, scorer=fuzz.ratio, score_cutoff=NEAR_COPY, workers=-1,
            dtype=numpy.uint8,
        )  # fmt: skip
        for row, column in zip(*ratios.nonzero(), strict=True):
            if others is not None or start + row > column:
                yield (
                    int(start + row if others is not None else column),
                    int(column if others is not None else start + row),
                )


def copy_errors(examples: Sequence[Located]) -> Iterator[SchemaError]:
    """Queries and sentences that nearly stand in the data a second time. Lex lines may: they are short by design."""
    bases = [normalize(qmd.split_mode(e.example.query)[0]) for e in examples]
    modes = [qmd.split_mode(e.example.query)[1] for e in examples]
    for first, second in near_copies(bases):
        if bases[first] == bases[second] and modes[first] != modes[second]:
            continue  # one query asked in two modes
        what = "stands already" if bases[first] == bases[second] else "is a near copy of one"
        yield examples[second].error(
            f"the query “{examples[second].example.query}” {what} in {examples[first].path}:{examples[first].line}"
        )
    sentences = [(e, line.text) for e in examples for line in e.example.output if line.type != "lex"]
    for first, second in near_copies([normalize(text) for _, text in sentences]):
        (there, original), (here, text) = sentences[first], sentences[second]
        if there is not here:
            yield here.error(f"“{text}” is a near copy of “{original}” in {there.path}:{there.line}")


def leak_errors(examples: Sequence[Located], kept_out: Sequence[tuple[str, str]]) -> Iterator[SchemaError]:
    """Examples that ask what an evaluation asks; `kept_out` pairs each query with the name of its source."""
    bases = [normalize(qmd.split_mode(e.example.query)[0]) for e in examples]
    theirs = [normalize(qmd.split_mode(query)[0]) for query, _ in kept_out]
    found = set(near_copies(bases, theirs))
    by_words = {content_words(query): number for number, (query, _) in enumerate(kept_out)}
    for number, located in enumerate(examples):
        words = content_words(located.example.query)
        if words and (same := by_words.get(words)) is not None:
            found.add((number, same))
    for number, other in sorted(found):
        query, source = kept_out[other]
        yield examples[number].error(f"“{examples[number].example.query}” is “{query}” of {source}, or nearly so")


def read_queries(path: Path) -> list[tuple[str, str]]:
    """The queries of a text file, or of the `queries.jsonl` of a collection in BEIR layout, with the file's name."""
    if path.suffix != ".jsonl":
        return [(query.text, path.name) for query in load_queries(path)]
    queries = []
    try:
        rows = path.read_bytes().split(b"\n")
    except OSError as error:
        raise SchemaError(path, None, f"cannot be read: {error.strerror}") from None
    for number, row in enumerate(rows, 1):
        try:
            text = json.loads(row)["text"] if row.strip() else None
            if text is not None:
                queries.append((text.strip(), path.name))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SchemaError(path, number, 'is no {"_id": ..., "text": ...} of a query file') from None
    return queries


def validate(files: Iterable[Path], kept_out: Sequence[tuple[str, str]]) -> tuple[list[Located], list[SchemaError]]:
    """The sound examples of some files, and everything that is wrong with them by file and line."""
    examples: list[Located] = []
    errors: list[SchemaError] = []
    for path in files:
        try:
            for row in read_rows(path):
                if row.error:
                    errors.append(row.error)
                else:
                    examples.append(Located(path, row.line, row.example))
        except SchemaError as error:
            errors.append(error)
    errors += [e.error(problem) for e in examples for problem in rule_errors(e.example)]
    errors += [*copy_errors(examples), *leak_errors(examples, kept_out)]
    return examples, sorted(errors, key=lambda error: (str(error.path), error.line or 0))


def main() -> int:
    """Print every error and a table of the files; 2 if there is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="data files or folders (default: data/)")
    parser.add_argument(
        "--against", action="append", type=Path, default=[], help="more queries to keep out of the data"
    )
    args = parser.parse_args()
    try:
        files = list(dict.fromkeys(file for path in args.files or [ROOT / "data"] for file in data_files(path)))
        sources = [
            *sorted((ROOT / "evals").glob("*.txt")),
            *sorted((ROOT / "evals").glob("*/queries.jsonl")),
            *args.against,
        ]
        kept_out = [query for source in sources for query in read_queries(source)]
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 2
    examples, errors = validate(files, kept_out)
    for error in errors:
        print(error, file=sys.stderr)
    for path in files:
        bad = len({error.line for error in errors if error.path == path and error.line})
        print(f"{path}: {sum(e.path == path for e in examples)} examples, {bad} lines with errors")
    print(f"{len(examples)} examples in {len(files)} files, {len(errors)} errors; {len(kept_out)} queries kept out")
    return 2 if errors else 0


if __name__ == "__main__":
    run(main)
