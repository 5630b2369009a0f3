# /// script
# requires-python = ">=3.11"
# dependencies = []
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""What an expansion is worth: the single source of truth for scoring. SCORING.md gives the reason for every rule.

    uv run reward.py                               # self-test: the cases of tests/reward_cases.jsonl
    uv run reward.py "auth config" < expansion.txt # score one expansion and explain each point

Each line is judged by itself: a faulty line earns nothing and costs, a sound one has a value from 0 to 1. Five
sections then give points for the sound lines, a sixth what a search without an expansion is worth, and the cost of the
faults is taken off. So a bad line never raises a score, and the order of lines of one type never changes it.
Deterministic; no model, no corpus; standard library only.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import language
import qmd
from lines import NOTHING, Judged, judge_line
from query import Query, read_query

REWARD_VERSION = "1.4"

POINTS = {"query": 25, "format": 9, "quality": 43, "diversity": 12, "entity": 8, "hyde": 3}
LIMITS = {"hyde": 1, "lex": 3, "vec": 3}  # lines a type
RATINGS = ((80, "Excellent"), (60, "Good"), (40, "Acceptable"), (20, "Poor"), (0, "Failed"))

# What a faulty line, or a lost name, costs in points of 100.
COST = {
    "boilerplate": 3,  # a hyde that speaks about a text instead of being one
    "dead": 9,  # a lex term that matches no text
    "dropped": 2,  # QMD drops the line
    "duplicate": 11,  # it says what a better line says
    "excludes": 4,  # it excludes what the query asks for
    "extra": 6,  # one line more than its type may have
    "filler": 2,
    "language": 10,  # another one than the query's
    "leak": 9,  # a piece of a prompt
    "length": 2,  # of a hyde
    "long": 2,  # too many ANDed terms
    "lost in lex": 16,  # a name of the query
    "lost in vec": 10,
    "need": 6,  # another kind of need than the query's
    "number lost": 3,
    "repetition": 11,
    "syntax": 3,
    "type": 9,  # not the one that the query asks for alone
    "whole query": 4,
}


class Shares(NamedTuple):
    """The points that the lines of one type can earn, by section, and how they are shared out."""

    present: float  # "format": there is a sound line
    quality: float
    ranks: tuple[float, ...]  # the share of "quality" that the best, the second, the third line bring
    spread: float  # "diversity": the two best lines differ
    new_word: float  # "diversity": a word that the query lacks
    names: float  # "entity"


SHARES = {
    "lex": Shares(present=4, quality=38, ranks=(0.5, 0.4, 0.1), spread=10, new_word=1, names=4),
    "vec": Shares(present=2, quality=5, ranks=(1.0,), spread=0, new_word=1, names=4),
}
# Of what the lines can earn: what is had without any, since the query itself is searched anyway.
QUERY_SHARE = POINTS["query"] / (sum(POINTS.values()) - POINTS["query"])
HYDE_FIRST = 3  # points of the section "format"
NO_HYDE = 0.6  # an expansion without a hyde earns this share of the hyde's points: more than a poor hyde earns
MOST_LOST = 2  # names that cost, a type: a pasted error message holds more than its lines can
SAME = 0.75  # lines of one type with this overlap (Jaccard) say the same
ALIKE = 1 / 3  # up to this overlap (Jaccard) two lines count as different
SOUND = 0.3  # a line of less value earns nothing


# --- All lines together --------------------------------------------------------------------------------


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard: the share of the words of both that both hold."""
    shared = len(a & b)
    union = len(a) + len(b) - shared
    return shared / union if union else 1.0


def _rank(judged: list[Judged]) -> list[Judged]:
    """The sound lines of one type, best first, so that what is made of them does not hang on the order they came in.

    A line that repeats a better one, or stands behind the last one wanted, becomes faulty.
    """
    if len(judged) == 1:
        return judged if judged[0].value >= SOUND else []
    ranked = sorted(judged, key=lambda j: (-j.value, j.line.text))
    for position, this in enumerate(ranked):
        for better in ranked[:position]:
            if _overlap(this.stems, better.stems) >= SAME and this.excluded == better.excluded:
                this.faults.append(("duplicate", f"says the same as “{better.line.text}”"))
                this.value = 0.0
                break
        if position >= LIMITS[this.line.type]:
            this.faults.append(("extra", f"more than {LIMITS[this.line.type]} {this.line.type}"))
            this.value = 0.0
    return [j for j in ranked if j.value >= SOUND]


# A section, a share from 0 to 1, and the points that it is a share of.
Points = tuple[str, float, float]


def _spread(lines: list[Judged]) -> float:
    """How different the two best lines are: 1 up to an overlap of `ALIKE`, 0 where they are the same or alone."""
    if len(lines) < 2:
        return 0.0
    return min(1.0, (1 - _overlap(lines[0].stems, lines[1].stems)) / (1 - ALIKE))


def _kept(query: Query, lines: list[Judged]) -> float:
    """The share of the query's names, or of its most specific words where it has none, in some of the lines."""
    if query.names:
        return len(NOTHING.union(*[j.names for j in lines])) / len(query.names)
    if not lines or not query.rarest:
        return float(bool(lines))
    held = query.rarest & NOTHING.union(*[j.stems for j in lines])
    return min(1.0, len(held) / (0.75 * len(query.rarest)))


def _search_points(query: Query, kind: str, lines: list[Judged]) -> list[Points]:
    """The points of the sound lex or vec lines, best first."""
    share = SHARES[kind]
    new_word = not all(j.stems <= query.stems for j in lines)
    return [
        ("format", 1.0 if lines else 0.0, share.present),
        ("quality", sum([rank * j.value for rank, j in zip(share.ranks, lines, strict=False)]), share.quality),
        ("diversity", _spread(lines), share.spread),
        ("diversity", float(new_word), share.new_word),
        ("entity", _kept(query, lines), share.names),
    ]


def _hyde_points(query: Query, hydes: list[Judged], given: bool, lex: list[Judged]) -> Points:
    """The points of the hyde: `hydes` are the sound ones, `given` tells whether there is any at all."""
    if not given and query.only != "hyde":
        return ("hyde", NO_HYDE, POINTS["hyde"])
    if hydes and lex and not any(j.stems <= hydes[0].stems for j in lex):
        hydes[0].lower(0.8, "no lex line stands in it")
    return ("hyde", hydes[0].value if hydes else 0.0, POINTS["hyde"])


def _lost_names(query: Query, kind: str, sound: list[Judged]) -> list[tuple[str, str]]:
    kept = NOTHING.union(*[j.names for j in sound])
    gone = [name for name in query.names if name.name not in kept] if sound else []
    return [
        ("number lost" if name.is_number else f"lost in {kind}", f"no {kind} line holds “{name.name}”")
        for name in gone[:MOST_LOST]
    ]


def _translated(query: Query, judged: list[Judged]) -> None:
    """Where the words of a query tell no language: sentences that hold less than half of them translate it.

    Words that are no names, and sentences of another language than English, a vec line among them: an answer in the
    searcher's language takes such words up, a translation keeps names alone.
    """
    sentences = [j for j in judged if j.line.type != "lex"]
    if query.language is not None or all(j.distinct.isdisjoint(language.NOT_ENGLISH) for j in sentences):
        return
    own = frozenset([stem for stem in query.stems if not stem.isdigit()]).difference(*[n.stems for n in query.names])
    if len(own) < 2:
        return
    told = [(j, language.plainly_in(j.line.text)) for j in sentences]
    asked = [j for j, code in told if code != "en" and not j.faults]  # a faulty sentence can't help the others
    held = own & NOTHING.union(*[j.stems for j in asked])
    if 2 * len(held) < len(own) and any(j.line.type == "vec" for j in asked):
        for this, code in told:
            if code not in (None, "en") and not language.has_word_of(code, query.text):
                this.faults.append(("language", "another language than the query's: it holds hardly any of its words"))
                this.value = 0.0


def _keywords_follow_sentences(query: Query, judged: list[Judged]) -> None:
    """Where all sentences are in another language, so are the keywords that the query lacks: two words don't tell.

    A sentence that is faulty for another reason can't help the keywords.
    """
    faults = [dict(j.faults) for j in judged if j.line.type != "lex"]
    told = [found for found in faults if not found or "language" in found]
    if told and all(told):
        for this in judged:
            if this.line.type == "lex" and not this.faults and not this.stems <= query.stems:
                this.faults.append(("language", "another language than the query's, as its sentences are"))
                this.value = 0.0


@dataclass(slots=True)
class Score:
    """A scored expansion: `percentage` is what counts, the rest explains it."""

    query: Query
    lines: list[Judged]
    points: list[Points]
    faults: list[tuple[str, str]]  # kind, explanation with the line it is about
    zero: str | None = None  # why the whole output counts for nothing

    @property
    def cost(self) -> float:
        """What the faults take off."""
        return sum([COST[kind] for kind, _ in self.faults])

    @property
    def percentage(self) -> float:
        """0 to 100."""
        if self.zero:
            return 0.0
        earned = attainable = 0.0
        for _, share, of in self.points:
            earned += share * of
            attainable += of
        return 100 * min(1.0, max(0.0, (earned - self.cost) / attainable))


def _nothing_counts(text: str, lines: list[qmd.Line], other: list[str]) -> str | None:
    if token := qmd.CHAT_TOKEN.search(text):
        return f"chat-template token {token.group()}"
    if other:
        return f"no hyde, lex or vec line: “{other[0].strip()[:60]}”"
    return None if lines else "empty output"


def score(query: str, expansion: str) -> Score:
    """Score the raw text of an expansion of `query`."""
    asked = read_query(query)
    lines, other = qmd.parse(expansion)
    if zero := _nothing_counts(expansion, lines, other):
        return Score(asked, [], [], [], zero)
    judged = [judge_line(asked, line) for line in lines]
    _translated(asked, judged)
    _keywords_follow_sentences(asked, judged)
    ranked = {kind: _rank([j for j in judged if j.line.type == kind]) for kind in qmd.LINE_TYPES}
    has_hyde = any(line.type == "hyde" for line in lines)
    points = [("format", float(not has_hyde or lines[0].type == "hyde"), HYDE_FIRST)]
    faults = [(kind, f"{j.line.type} “{j.line.text}”: {why}") for j in judged if j.faults for kind, why in j.faults]
    for kind in ("lex", "vec"):
        # Where QMD can find no word of the query, lex lines can't help, whatever they say.
        if asked.only in (None, kind) and (kind == "vec" or asked.searchable):
            points += _search_points(asked, kind, ranked[kind])
            faults += _lost_names(asked, kind, ranked[kind])
    if asked.only in (None, "hyde"):
        points.append(_hyde_points(asked, ranked["hyde"], has_hyde, ranked["lex"]))
    points.append(("query", 1.0, QUERY_SHARE * sum([of for _, _, of in points])))
    return Score(asked, judged, points, faults)


# --- What callers use ----------------------------------------------------------------------------------


def score_expansion(query: str, expansion: str) -> float:
    """The score of an expansion, 0 to 1. `expansion` is a model's raw output."""
    return score(query, expansion).percentage / 100


def rating(percentage: float) -> str:
    """Excellent from 80, Good from 60, Acceptable from 40, Poor from 20, else Failed."""
    return next(name for least, name in RATINGS if percentage >= least)


def score_expansion_detailed(query: str, expansion: str) -> dict:
    """The score with all that led to it.

    `query`, `format`, `quality`, `diversity`, `entity`, `hyde` are the points earned in each section (of
    `max_by_section`), `faults` what is taken off, `total` what remains of `max_possible`, `percentage` their ratio.
    `deductions` are the faults in words, dearest first; `lines` the value (0 to 1) of each line, with its faults and
    what lowered it.
    """
    scored = score(query, expansion)
    earned, attainable = (dict.fromkeys(POINTS, 0.0) for _ in range(2))
    for section, share, of in scored.points:
        earned[section] += share * of
        attainable[section] += of
    deductions = [f"-{COST[kind]} {why}" for kind, why in sorted(scored.faults, key=lambda fault: -COST[fault[0]])]
    return {
        **{name: round(points, 2) for name, points in earned.items()},
        "max_by_section": attainable,
        "faults": scored.cost,
        "total": round(scored.percentage * sum(attainable.values()) / 100, 2),
        "max_possible": sum(attainable.values()),
        "percentage": scored.percentage,
        "rating": rating(scored.percentage),
        "deductions": [f"0 for all: {scored.zero}"] if scored.zero else deductions,
        "parsed": parse_expansion(expansion),
        "lines": [
            {
                "type": judged.line.type,
                "text": judged.line.text,
                "value": round(judged.value, 3),
                "faults": [why for _, why in judged.faults],
                "lowered": [f"{why} (x{factor:.2f})" for factor, why in judged.notes],
            }
            for judged in scored.lines
        ],
        "entities_detected": extract_named_entities(query),
        "only_mode": scored.query.only,
        "reward_version": REWARD_VERSION,
    }


def parse_expansion(expansion: str) -> dict[str, list[str]]:
    """The texts of an expansion by type, and under "invalid" the lines that have none."""
    lines, other = qmd.parse(expansion)
    return {**{kind: [line.text for line in lines if line.type == kind] for kind in qmd.LINE_TYPES}, "invalid": other}


def valid_format(query: str, expansion: str) -> bool:
    """Whether an expansion has the form asked for: each line typed, the hyde first, no type with too few or too many.

    Without `/only:` that is at most one hyde, and one to three lex and vec lines each.
    """
    lines, other = qmd.parse(expansion)
    only = read_query(query).only
    counts = Counter(line.type for line in lines)
    needed = {only} if only else {"lex", "vec"}
    allowed = needed if only else set(qmd.LINE_TYPES)
    return (
        not other
        and needed <= counts.keys() <= allowed
        and all(count <= LIMITS[kind] for kind, count in counts.items())
        and ("hyde" not in counts or lines[0].type == "hyde")
    )


def extract_named_entities(query: str) -> list[str]:
    """The names, acronyms, versions, numbers and dates of a query that its lines should keep."""
    return [name.name for name in read_query(query).names]


class QMDRewardFunction:
    """A reward function for TRL's GRPOTrainer: one score from 0 to 1 a completion.

    The query is read from the prompt (text or messages), or from a column `query` of the dataset where there is one.
    """

    __name__ = "qmd_reward"

    def __call__(
        self,
        prompts: Sequence[str | list[dict[str, str]]],
        completions: Sequence[str | list[dict[str, str]]],
        query: Sequence[str] | None = None,
        **_: object,
    ) -> list[float]:
        """Score a batch; `prompts` and `completions` are texts or conversations, as GRPOTrainer passes them."""
        queries = query if query is not None else [self._query(prompt) for prompt in prompts]
        return [score_expansion(q, self._text(completion)) for q, completion in zip(queries, completions, strict=True)]

    @staticmethod
    def _text(message: str | list[dict[str, str]]) -> str:
        return message if isinstance(message, str) else message[-1]["content"] if message else ""

    def _query(self, prompt: str | list[dict[str, str]]) -> str:
        asked = qmd.query_of(self._text(prompt))
        if asked is None:
            raise ValueError(f"no query in the prompt {self._text(prompt)[:80]!r}: it is not the one that QMD sends")
        return asked


# --- The command ---------------------------------------------------------------------------------------

CASES = Path(__file__).parent / "tests" / "reward_cases.jsonl"


def explain(query: str, expansion: str) -> str:
    """The score of one expansion in words: each line, each section, each fault."""
    detail = score_expansion_detailed(query, expansion)
    rows = [
        f"{detail['percentage']:.0f}% {detail['rating']}: {detail['total']:.1f} of {detail['max_possible']:g} points"
    ]
    for line in detail["lines"]:
        reasons = [f"FAULT {why}" for why in line["faults"]] + line["lowered"]
        rows.append(f"  {line['value']:.2f}  {line['type']}: {line['text']}")
        rows += [f"        {why}" for why in reasons]
    for section, points in detail["max_by_section"].items():
        if points:
            rows.append(f"  {detail[section]:5.1f} of {points:<4g} {section}")
    rows += [f"  {why}" for why in detail["deductions"]]
    if detail["entities_detected"]:
        rows.append(f"  names to keep: {', '.join(detail['entities_detected'])}")
    return "\n".join(rows)


def self_test(cases: Path = CASES) -> int:
    """Score the cases and print a table; returns how many lie outside their band or their order."""
    wrong = 0
    scores: dict[str, float] = {}
    print(f"{'query':32} {'expansion':44} score rating      first deductions")
    for row in cases.read_text(encoding="utf-8").splitlines():
        case = json.loads(row)
        detail = score_expansion_detailed(case["query"], case["expansion"])
        scores[case["name"]] = got = detail["percentage"]
        low, high = case.get("band", (0, 100))
        ok = low <= got <= high and got < scores.get(case.get("below"), 101)
        wrong += not ok
        expected = "" if ok else f"  EXPECTED {low}-{high}" + (f", below {case['below']}" if "below" in case else "")
        short = case["expansion"].replace("\n", " | ")
        shortened = (case["query"][:32], short[:44], got, detail["rating"], "; ".join(detail["deductions"])[:70])
        print("{:32} {:44} {:5.1f} {:11} {}".format(*shortened) + expected)
    print(f"{len(scores)} cases, {wrong} wrong, reward version {REWARD_VERSION}")
    return wrong


def main() -> int:
    """Run the self-test, or score the expansion on standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query", nargs="?", help="score the expansion of this query that stands on standard input")
    parser.add_argument("--json", action="store_true", help="print everything that is known about the score")
    args = parser.parse_args()
    if args.query is None:
        return 1 if self_test() else 0
    if not args.query.strip():
        print("reward.py: the query is empty", file=sys.stderr)
        return 2
    if sys.stdin is None or sys.stdin.isatty():
        print("reward.py: no expansion on standard input; give one with < expansion.txt", file=sys.stderr)
        return 2
    try:
        expansion = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        print(f"reward.py: standard input is not UTF-8 at byte {error.start}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(score_expansion_detailed(args.query, expansion), ensure_ascii=False, indent=2))
    else:
        print(explain(args.query, expansion))
    return 0


if __name__ == "__main__":
    try:
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
