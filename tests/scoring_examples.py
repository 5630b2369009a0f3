"""The examples of SCORING.md and their scores: `uv run python tests/scoring_examples.py` rewrites the numbers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import reward

PAGE = Path(__file__).resolve().parent.parent / "SCORING.md"
BLOCK = re.compile(r"^```expansion (good|bad)\nquery: ([^\n]*)\nscore: (\d+)\n\n(.*?)^```$", re.M | re.S)


class Example(NamedTuple):
    """One example of the page; `stated` is the score that stands there."""

    verdict: str
    query: str
    stated: int
    expansion: str

    @property
    def score(self) -> int:
        """What the rubric says, in whole percent."""
        return round(100 * reward.score_expansion(self.query, self.expansion))


def examples(page: str) -> Iterator[Example]:
    """The examples of the page in order."""
    for verdict, query, stated, expansion in BLOCK.findall(page):
        yield Example(verdict, query, int(stated), expansion)


def rewritten(page: str) -> str:
    """The page with the scores as they are."""

    def rescore(found: re.Match[str]) -> str:
        score = Example(found[1], found[2], int(found[3]), found[4]).score
        return found[0].replace(f"\nscore: {found[3]}\n", f"\nscore: {score}\n", 1)

    return BLOCK.sub(rescore, page)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
