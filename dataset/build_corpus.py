# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic>=2.12", "qmd-expansion", "rich"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# [tool.uv.sources]
# qmd-expansion = { path = "..", editable = true }
# ///
"""Write the corpus.jsonl of a folder of markdown notes, for tools that read BEIR's layout.

    uv run dataset/build_corpus.py evals/notes
    uv run dataset/build_corpus.py evals/notes --check     # is it what the notes say? exit code 1 if not

`queries.jsonl` and `qrels.tsv` beside the notes are written by people; with them the folder is a whole collection.
Exit code 2 for a folder without notes.
"""

import argparse
import sys
from pathlib import Path

from collection import CollectionError, corpus_rows, read_notes
from dataset.console import run
from dataset.files import write_whole


def main() -> int:
    """Build or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="markdown notes")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    try:
        documents = read_notes(args.folder)
        if not documents:
            raise CollectionError(f"{args.folder}: holds no markdown files")
    except CollectionError as error:
        print(f"build_corpus.py: {error}", file=sys.stderr)
        return 2
    corpus = args.folder / "corpus.jsonl"
    text = "".join(corpus_rows(documents))
    if args.check:
        if not corpus.is_file() or corpus.read_text(encoding="utf-8") != text:
            print(
                f"build_corpus.py: {corpus} is not what the notes say; write it again without --check", file=sys.stderr
            )
            return 1
    else:
        write_whole(corpus, text)
    print(f"{corpus}: {len(documents)} documents")
    return 0


if __name__ == "__main__":
    run(main)
