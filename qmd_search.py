"""How QMD searches with the lines of an expansion: what it embeds, and how it fuses ranked lists.

Like `qmd.py`, read from QMD's `dist/store.js` and `dist/llm.js`; each definition names the function it follows.
Positions are code points here and UTF-16 units there, which differ after an emoji. Standard library only.
"""

import re
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from qmd import JS_SPACE

# --- Chunks --------------------------------------------------------------------------------------------

CHUNK_TOKENS, OVERLAP_TOKENS, WINDOW_TOKENS = 900, 135, 200  # store.js, CHUNK_SIZE_TOKENS and its neighbours
CHARACTERS_PER_TOKEN = 3  # store.js, chunkDocumentByTokens: its first guess
_DECAY = 0.7  # store.js, findBestCutoff

# store.js, BREAK_PATTERNS: where a document is best cut, and how good a place that is.
_BREAKS = [
    *((re.compile(f"\n#{{{level}}}(?!#)"), 110 - 10 * level) for level in range(1, 7)),
    (re.compile("\n```"), 80),
    (re.compile(rf"\n(?:---|\*\*\*|___)[{JS_SPACE}]*\n"), 60),
    (re.compile("\n\n+"), 20),
    (re.compile(f"\n[-*][{JS_SPACE}]"), 5),
    (re.compile(rf"\n[0-9]+\.[{JS_SPACE}]"), 5),
    (re.compile("\n"), 1),
]
_FENCE = re.compile("\n```")


class Chunk(NamedTuple):
    """A piece of a document; `start` is its place there, in characters."""

    text: str
    start: int


def _break_points(text: str) -> list[tuple[int, int]]:
    """Places to cut with their worth, in order (store.js, scanBreakPoints), none inside a code fence."""
    worth: dict[int, int] = {}
    for pattern, score in _BREAKS:
        for found in pattern.finditer(text):
            worth[found.start()] = max(score, worth.get(found.start(), 0))
    marks = list(_FENCE.finditer(text))
    fences = [
        (opening.start(), closing.end() if closing else len(text))
        for opening, closing in zip_longest(marks[::2], marks[1::2])
    ]
    return [(at, worth[at]) for at in sorted(worth) if not any(start < at < end for start, end in fences)]


def _best_cut(points: list[tuple[int, int]], target: int, window: int) -> int:
    """The best place to cut within the window before `target` (store.js, findBestCutoff)."""
    best, best_worth = target, -1.0
    for at, worth in points:
        if target - window <= at <= target:
            far = (target - at) / window
            if (found := worth * (1 - far * far * _DECAY)) > best_worth:
                best, best_worth = at, found
    return best


def cut(text: str, size: int, overlap: int, window: int) -> list[Chunk]:
    """Cut a text into overlapping pieces of at most `size` characters (store.js, chunkDocument)."""
    if len(text) <= size:
        return [Chunk(text, 0)]
    points = _break_points(text)
    pieces: list[Chunk] = []
    start = 0
    while True:
        end = min(start + size, len(text))
        if end < len(text):
            best = _best_cut(points, end, window) if window else end
            end = best if best > start else end
        pieces.append(Chunk(text[start:end], start))
        if end == len(text):
            return pieces
        start = end - overlap if end - overlap > start else end


def chunks(text: str, count_tokens: Callable[[str], int]) -> list[Chunk]:
    """The pieces of a document that QMD embeds (store.js, chunkDocumentByTokens); a piece without text is none."""
    size, overlap, window = (n * CHARACTERS_PER_TOKEN for n in (CHUNK_TOKENS, OVERLAP_TOKENS, WINDOW_TOKENS))

    def fitting(piece: Chunk) -> list[Chunk]:
        # No tokenizer makes more tokens of a text than it has bytes.
        if len(piece.text.encode()) <= CHUNK_TOKENS or len(piece.text) == 1:
            return [piece]
        tokens = count_tokens(piece.text)
        if tokens <= CHUNK_TOKENS:
            return [piece]
        a_token = len(piece.text) / tokens
        smaller = max(1, min(len(piece.text) - 1, int(CHUNK_TOKENS * a_token * 0.95)))
        parts = cut(piece.text, smaller, min(smaller - 1, int(overlap * a_token / 2)), int(window * a_token / 2))
        return [found for part in parts for found in fitting(Chunk(part.text, piece.start + part.start))]

    return [found for piece in cut(text, size, overlap, window) for found in fitting(piece) if found.text]


# --- Vectors -------------------------------------------------------------------------------------------

VECTORS_PER_RESULT = 3  # store.js, searchVec: chunks fetched for each document wanted
EMBEDDED_TOKENS = 2048  # llm.js, EMBED_CONTEXT_SIZE; a model of a shorter context reads that much
TRUNCATION_MARGIN = 4  # llm.js, truncateToContextSize: a longer text loses this much more

_QWEN_EMBEDDING = re.compile("qwen.*embed|embed.*qwen", re.IGNORECASE)


def embedding_query(text: str, model: str = "") -> str:
    """What QMD embeds for a query, a vec or a hyde line (llm.js, formatQueryForEmbedding)."""
    if _QWEN_EMBEDDING.search(model):
        return f"Instruct: Retrieve relevant documents for the given query\nQuery: {text}"
    return f"task: search result | query: {text}"


def embedding_document(title: str, text: str, model: str = "") -> str:
    """What QMD embeds for a chunk of a document (llm.js, formatDocForEmbedding)."""
    if _QWEN_EMBEDDING.search(model):
        return f"{title}\n{text}" if title else text
    return f"title: {title or 'none'} | text: {text}"


# --- Fusion --------------------------------------------------------------------------------------------

RRF_K = 60
ORIGINAL_WEIGHT, EXPANSION_WEIGHT = 2.0, 1.0  # store.js, getHybridRrfWeights
TOP_BONUS, RUNNER_UP_BONUS = 0.05, 0.02  # best rank in any list 1; 2 or 3
CANDIDATES = 40  # store.js, RERANK_CANDIDATE_LIMIT: what fusion hands on
STRONG_SCORE, STRONG_GAP = 0.85, 0.15  # store.js, STRONG_SIGNAL_MIN_SCORE and STRONG_SIGNAL_MIN_GAP


def strong_signal(bm25: Sequence[float]) -> bool:
    """Whether the original query's own FTS results are so clear that QMD does not expand it (store.js, hybridQuery).

    `bm25` holds FTS5's scores, best (lowest) first; QMD maps x to |x| / (1 + |x|).
    """
    top, second = ([abs(score) / (1 + abs(score)) for score in bm25[:2]] + [0.0, 0.0])[:2]
    return top >= STRONG_SCORE and top - second >= STRONG_GAP


def fuse(lists: Sequence[Sequence[str]], weights: Sequence[float]) -> list[tuple[str, float]]:
    """Reciprocal rank fusion as QMD does it (store.js, reciprocalRankFusion).

    `lists` hold document ids, best first, `weights` one number a list. Returns (id, score), best first; equal
    scores keep the order in which the documents were first seen. Raises ValueError if the lengths differ.
    """
    scores: dict[str, float] = {}
    best_rank: dict[str, int] = {}
    for ids, weight in zip(lists, weights, strict=True):
        for rank, doc in enumerate(ids):
            scores[doc] = scores.get(doc, 0.0) + weight / (RRF_K + rank + 1)
            best_rank[doc] = min(best_rank.get(doc, rank), rank)
    for doc, rank in best_rank.items():
        scores[doc] += TOP_BONUS if rank == 0 else RUNNER_UP_BONUS if rank <= 2 else 0.0
    return sorted(scores.items(), key=lambda item: -item[1])
