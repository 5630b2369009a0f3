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
sections then give points for the sound lines, and the cost of the faults is taken off. So a bad line never raises a
score, and the order of lines of one type never changes it. Deterministic; no model, no corpus; standard library only.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import language
import lexicon
import qmd

REWARD_VERSION = "1.0"

POINTS = {"format": 15, "quality": 45, "diversity": 15, "entity": 15, "hyde": 10}
LIMITS = {"hyde": 1, "lex": 3, "vec": 3}  # lines a type
RATINGS = ((80, "Excellent"), (60, "Good"), (40, "Acceptable"), (20, "Poor"), (0, "Failed"))

# What a faulty line, or a lost name, costs in points of 100.
COST = {
    "boilerplate": 8, "dropped": 5, "duplicate": 5, "excludes": 5, "extra": 5, "filler": 6, "language": 12, "length": 3,
    "long": 5, "lost in lex": 8, "lost in vec": 5, "number lost": 4, "need": 5, "repetition": 8, "syntax": 5, "type": 8, "whole query": 4,
}  # fmt: skip


class Shares(NamedTuple):
    """The points that the lines of one type can earn, by section, and how they are shared out."""

    present: float  # "format": there is a sound line
    quality: float
    ranks: tuple[float, ...]  # the share of "quality" that the best, the second, the third line bring
    spread: float  # "diversity": the two best lines differ
    alike: float  # up to this overlap (Jaccard) they count as different
    new_word: float  # "diversity": a word that the query lacks
    names: float  # "entity"


SHARES = {
    "lex": Shares(present=5.5, quality=28, ranks=(0.5, 0.4, 0.1), spread=6, alike=1 / 3, new_word=3, names=9),
    "vec": Shares(present=5.5, quality=17, ranks=(0.6, 0.4), spread=4, alike=0.6, new_word=2, names=6),
}
HYDE_FIRST = 4  # points of the section "format"
# Chance that a line of 1, 2, 3, 4 ANDed terms finds something and not everything; QMD_VERSION's index, see SCORING.md.
HIT = (0.8, 1.0, 0.75, 0.4)
NO_HYDE = 0.6  # an expansion without a hyde earns this share of the hyde's points: more than a poor hyde earns
MOST_LOST = 2  # names that cost, a type: a pasted error message holds more than its lines can
SOUND = 0.3  # lines of less value earn no points for diversity or names
HYDE_LENGTH = (50, 200)  # characters; a Chinese, Japanese or Korean one counts for two


@dataclass(frozen=True)
class Query:
    """What the rubric needs to know of a query."""

    text: str
    only: str | None
    word_list: list[str]
    words: frozenset[str]
    stop_words: frozenset[str]
    stems: dict[str, float]  # content stems, each with its specificity
    weight: float  # the sum of their specificities
    rarest: frozenset[str]  # the four most specific of the stems
    length: int  # content words, "node.js" being one
    excluded: frozenset[str]  # stems of `-term`
    may_exclude: frozenset[str]  # and of what follows "not", "no" or "without": a lex line may exclude it
    language: str | None
    names: tuple[language.NameMatcher, ...]
    how_to: bool
    trouble: bool


@dataclass(slots=True)
class Judged:
    """One line with its value (0 to 1), its faults (kind, explanation) and what lowered its value (factor, why)."""

    line: qmd.Line
    words: list[str]
    distinct: frozenset[str]  # its words
    stems: frozenset[str]  # of its content words
    names: frozenset[str]  # of the query's names, those that it holds
    wanted: list[tuple[qmd.LexTerm, language.Term]]  # the terms of a lex line that it does not exclude
    excluded: frozenset[str]  # stems of what a lex line excludes
    value: float
    faults: list[tuple[str, str]]
    notes: list[tuple[float, str]]

    def lower(self, factor: float, why: str) -> None:
        """Multiply the value by `factor`, remembering why."""
        if factor < 1:
            self.value *= factor
            self.notes.append((factor, why))


_EXCLUDED = re.compile(r'(?<!\S)-("[^"]+"|[^\s"-]\S*)')
_DENIED = re.compile(r"\b(?:not|no|without|except|ohne|sans|sin|sem|senza|zonder|bez) (\S+)")


@lru_cache(maxsize=4096)
def read_query(query: str) -> Query:
    """Analyse a query once; `/only:TYPE` at its end is a mode, not a part of it."""
    text, only = qmd.split_mode(query)
    code = language.query_language(text)
    gone = language.stems(w for found in _EXCLUDED.findall(text) for w in language.words(found))
    denied = gone | language.stems(w for found in _DENIED.findall(text) for w in language.words(found))
    words = language.words(text)
    stop_words = lexicon.STOP_WORDS.get(code or "en", frozenset())
    content = [w for w in words if w not in stop_words] or words
    stems = {language.stem(w): language.specificity(w) for w in content if language.stem(w) not in gone}
    tokens = [language.stems(language.words(token)) for token in text.split()]
    return Query(
        text=text,
        only=only,
        word_list=words,
        words=frozenset(words),
        stop_words=stop_words,
        stems=stems,
        weight=sum(stems.values()),
        rarest=frozenset(sorted(stems.keys() - denied, key=lambda s: (-stems[s], s))[:4]),
        length=sum(not token.isdisjoint(stems) for token in tokens),
        excluded=gone,
        may_exclude=denied,
        language=code,
        names=tuple(m for m in map(language.NameMatcher, language.named_entities(text)) if not m.stems <= denied),
        how_to=language.asks_how_to(text),
        trouble=language.reports_trouble(text),
    )


# --- One line ------------------------------------------------------------------------------------------


_NONE: frozenset[str] = frozenset()


def _read_line(query: Query, line: qmd.Line) -> Judged:
    wanted: list[tuple[qmd.LexTerm, language.Term]] = []
    excluded = names = _NONE
    if line.type == "lex":
        terms = [(term, language.read_term(term.text, query.language)) for term in qmd.lex_terms(line.text)]
        wanted = [pair for pair in terms if not pair[0].negated]
        words = [word for _, read in wanted for word in read.words]
        stems = _NONE.union(*[read.stems for _, read in wanted])
        if len(wanted) < len(terms):
            excluded = _NONE.union(*[read.stems for term, read in terms if term.negated])
    else:
        words = language.words(line.text)
    distinct = frozenset(words)
    if line.type != "lex":
        stems = language.stems(distinct - query.stop_words)
    if query.names:
        joined = "".join(words)
        names = frozenset([name.name for name in query.names if name.found_in(distinct, joined)])
    return Judged(line, words, distinct, stems, names, wanted, excluded, 1.0, [], [])


def _repeats(words: list[str], distinct: int) -> bool:
    if distinct + 1 >= len(words):
        return False
    if len(words) >= 8 and distinct * 2 < len(words):
        return True
    return any(a == b == c for a, b, c in zip(words, words[1:], words[2:], strict=False))


_UNSPACED_FILLER = [p for p in lexicon.FILLER_PHRASES if " " not in p and not p.isascii()]
_PHRASES_OF_WORD: dict[str, list[str]] = {}  # by their longest word
for _phrase in lexicon.FILLER_PHRASES:
    _PHRASES_OF_WORD.setdefault(max(_phrase.split(), key=len), []).append(_phrase)
_PHRASE_WORDS = frozenset(_PHRASES_OF_WORD)


def _filler(query: Query, judged: Judged) -> str | None:
    """A filler word or phrase of a lex or vec line that the query does not have itself."""
    text = judged.line.text
    listed = lexicon.FILLER_WORDS if judged.line.type == "lex" else lexicon.FRAME_WORDS
    if not listed.isdisjoint(judged.distinct):
        found = listed.intersection(text.lower().split()) - query.words  # "guide_legend" is not "guide"
        if found:
            return min(found)
    if text.isascii() and _PHRASE_WORDS.isdisjoint(judged.distinct):
        return None
    spaced = f" {' '.join(judged.words)} "
    phrases = [p for word in judged.distinct & _PHRASE_WORDS for p in _PHRASES_OF_WORD[word] if f" {p} " in spaced]
    phrases += [p for p in _UNSPACED_FILLER if p in text]
    return next((p for p in sorted(phrases) if p not in query.text.lower()), None)


_BOILERPLATE_OPENING = re.compile(lexicon.BOILERPLATE_OPENING)
_BOILERPLATE = re.compile(lexicon.BOILERPLATE_ASCII)
_BOILERPLATE_OTHER = re.compile(lexicon.BOILERPLATE_OTHER)


def _is_boilerplate(text: str, words: frozenset[str]) -> bool:
    if text.isascii() and lexicon.BOILERPLATE_WORDS.isdisjoint(words):
        return False
    lowered = text.lower()
    if _BOILERPLATE_OPENING.match(lowered) or _BOILERPLATE.search(lowered):
        return True
    return not text.isascii() and _BOILERPLATE_OTHER.search(lowered) is not None


def _common_faults(query: Query, judged: Judged) -> None:
    """The faults that a line of any type can have."""
    kind, text = judged.line
    fault = judged.faults.append
    if query.only and kind != query.only:
        fault(("type", f"the query asks for {query.only} alone"))
    if reason := qmd.drop_reason(query.text, judged.line):
        fault(("dropped", f"QMD drops it: it {reason}"))
    if language.in_other_language(query.language, query.text, text, judged.distinct, sentence=kind != "lex"):
        fault(("language", f"another language than the query's ({query.language or 'Latin script'})"))
    if _repeats(judged.words, len(judged.distinct)):
        fault(("repetition", "repeats itself"))
    if kind != "hyde" and (word := _filler(query, judged)):
        fault(("filler", f"filler “{word}”"))
    if kind != "lex" and qmd.has_negation(text):
        fault(("syntax", "-term works in lex alone; QMD refuses it here"))


def _coverage(query: Query, stems: frozenset[str]) -> float:
    """The share of the query's content words in a line, each weighed by how specific it is; 0 to 1."""
    if not query.weight:
        return 1.0
    return sum([query.stems[stem] for stem in stems & query.stems.keys()]) / query.weight


def _names_kept(query: Query, judged: Judged, factor: float) -> None:
    if query.names and not judged.names:
        judged.lower(factor, f"holds none of {', '.join(name.name for name in query.names)}")


def _term_size(term: qmd.LexTerm) -> float:
    """How much a term narrows a lex line: a word 1, each further word of a phrase or two of a CJK run 1/2."""
    tokens = term.match[0].count(" ") + 1
    if tokens > 1 and not term.text.isascii() and tokens == len(term.text):
        return 1 + max(0, tokens - 4) / 2
    return 1 + (tokens - 1) / 2


def _hit(size: float) -> float:
    """HIT between and beyond its whole numbers."""
    low = min(int(size), len(HIT))
    high = min(low + 1, len(HIT))
    return HIT[low - 1] + (size - int(size)) * (HIT[high - 1] - HIT[low - 1])


def _lex_faults(query: Query, judged: Judged, size: float) -> None:
    fault = judged.faults.append
    if qmd.unmatched_quote(judged.line.text):
        fault(("syntax", "unmatched double quote"))
    elif not judged.wanted:
        fault(("syntax", "leaves nothing to search for"))
    if judged.excluded and not (judged.excluded - query.may_exclude).isdisjoint(query.stems):
        fault(("excludes", "excludes a word that the query asks for"))
    if len(judged.wanted) > 4 or size > 5:
        fault(("long", f"{len(judged.wanted)} terms ANDed: hardly any text holds them all"))
    elif query.length > 2 and (
        judged.distinct >= query.words or (query.length > 3 and judged.stems >= query.stems.keys())
    ):
        fault(("whole query", "repeats the whole query, which QMD searches anyway"))


def _judge_lex(query: Query, judged: Judged) -> None:
    count = len(judged.wanted)
    size = sum([_term_size(term) for term, _ in judged.wanted])
    _lex_faults(query, judged, size)
    if judged.faults:
        return
    if size != 2:
        judged.lower(_hit(size), f"{count} term{'s' * (count != 1)} ANDed")
    rarest = sorted([read.specificity for _, read in judged.wanted])[-2:]
    judged.lower(0.35 + 0.65 * sum(rarest) / len(rarest), "common words")
    if judged.distinct >= query.words and judged.stems == query.stems.keys():
        judged.lower(0.35, "the same terms as the query, which QMD searches anyway")
    new = sum([query.stems.keys().isdisjoint(read.stems) for _, read in judged.wanted])
    if new == count and query.stems:
        judged.lower(0.4 if qmd.query_terms(query.text) else 0.85, "no word of the query")
    elif new > 1:
        judged.lower(0.85 ** (new - 1), f"{new} terms that the query lacks")
    if not query.excluded.isdisjoint(judged.stems):
        judged.lower(0.3, "searches for what the query excludes")
    _names_kept(query, judged, 0.7)


def _judge_vec(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if judged.words == query.word_list:
        judged.faults.append(("whole query", "is the query, which QMD searches anyway"))
    if not query.how_to and language.turns_into_how_to(text, judged.words, trouble=query.trouble):
        judged.faults.append(("need", "asks how to do it; the query does not"))
    if query.how_to and text.lower().startswith(("what is ", "what are ", "definition of ")):
        judged.faults.append(("need", "asks what it is; the query asks how to do it"))
    if judged.faults:
        return
    if len(judged.words) < 4:
        judged.lower(0.4, "keywords, not a sentence")
    if judged.stems == query.stems.keys() and len(judged.words) <= len(query.words) + 3:
        judged.lower(0.4, "says no more than the query")
    elif judged.stems <= query.stems.keys():
        judged.lower(0.8, "no word that the query lacks")
    judged.lower(0.4 + 0.6 * min(1.0, _coverage(query, judged.stems) / 0.5), "loses what the query is about")
    if len(text) > 300:
        judged.lower(0.5, "runs on")
    _names_kept(query, judged, 0.5)


def _judge_hyde(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if _is_boilerplate(text, judged.distinct):
        judged.faults.append(("boilerplate", "speaks about a text instead of being one"))
    length = len(text) + language.cjk_characters(text)
    low, high = HYDE_LENGTH
    if not low / 2 <= length <= high * 2:
        judged.faults.append(("length", f"{length} characters; {low}-{high} are wanted"))
    if judged.faults:
        return
    if not low <= length <= high:
        judged.lower(0.5, f"{length} characters; {low}-{high} are wanted")
    judged.lower(0.4 + 0.6 * min(1.0, _coverage(query, judged.stems) / 0.4), "shares few words with the query")
    new = len(judged.stems - query.stems.keys())
    judged.lower(0.4 + 0.6 * min(1.0, new / 4), "says little that the query does not")
    _names_kept(query, judged, 0.6)


_JUDGES = {"lex": _judge_lex, "vec": _judge_vec, "hyde": _judge_hyde}


def judge_line(query: Query, line: qmd.Line) -> Judged:
    """Judge one line by itself."""
    judged = _read_line(query, line)
    _common_faults(query, judged)
    _JUDGES[line.type](query, judged)
    if judged.faults:
        judged.value = 0.0
    return judged


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
    ranked = sorted(judged, key=lambda j: (-j.value, len(j.faults), j.line.text))
    for position, this in enumerate(ranked):
        alike = 0.75 if this.line.type == "lex" else 0.85
        for better in ranked[:position]:
            if _overlap(this.stems, better.stems) >= alike and this.excluded == better.excluded:
                this.faults.append(("duplicate", f"says the same as “{better.line.text}”"))
                this.value = 0.0
                break
        if position >= LIMITS[this.line.type]:
            this.faults.append(("extra", f"more than {LIMITS[this.line.type]} {this.line.type}"))
            this.value = 0.0
    return [j for j in ranked if j.value > 0]


@dataclass
class Sections:
    """Points earned and attainable, a section each."""

    earned: dict[str, float] = field(default_factory=lambda: dict.fromkeys(POINTS, 0.0))
    attainable: dict[str, float] = field(default_factory=lambda: dict.fromkeys(POINTS, 0.0))

    def add(self, section: str, share: float, points: float) -> None:
        """Earn `share` (0 to 1) of `points` in a section."""
        self.earned[section] += share * points
        self.attainable[section] += points


def _spread(lines: list[Judged], alike: float) -> float:
    """How different the two best lines are: 1 up to an overlap of `alike`, 0 where they are the same or alone."""
    if len(lines) < 2:
        return 0.0
    return min(1.0, (1 - _overlap(lines[0].stems, lines[1].stems)) / (1 - alike))


def _kept(query: Query, lines: list[Judged]) -> float:
    """The share of the query's names, or of its most specific words where it has none, in some of the lines."""
    if query.names:
        return len(_NONE.union(*[j.names for j in lines])) / len(query.names)
    if not lines or not query.rarest:
        return float(bool(lines))
    held = query.rarest & _NONE.union(*[j.stems for j in lines])
    return min(1.0, len(held) / (0.75 * len(query.rarest)))


def _score_searches(query: Query, kind: str, lines: list[Judged], sections: Sections) -> list[Judged]:
    """Earn the points of the lex or of the vec lines, best first; returns those that are sound."""
    share = SHARES[kind]
    sound = [j for j in lines if j.value >= SOUND]
    new_word = any([not j.stems <= query.stems.keys() for j in sound])
    sections.add("format", float(bool(sound)), share.present)
    sections.add("quality", sum([s * j.value for s, j in zip(share.ranks, lines, strict=False)]), share.quality)
    sections.add("diversity", _spread(sound, share.alike), share.spread)
    sections.add("diversity", float(new_word), share.new_word)
    sections.add("entity", _kept(query, sound), share.names)
    return sound


def _score_hyde(query: Query, hydes: list[Judged], given: bool, lex: list[Judged], sections: Sections) -> None:
    if not given and query.only != "hyde":
        sections.add("hyde", NO_HYDE, POINTS["hyde"])
        return
    best = hydes[0] if hydes else None
    value = best.value if best else 0.0
    if best and lex and not any(j.stems <= best.stems for j in lex):
        best.lower(0.8, "no lex line stands in it")
        value = best.value
    sections.add("hyde", value, POINTS["hyde"])


def _lost_names(query: Query, kind: str, sound: list[Judged]) -> list[tuple[str, str]]:
    kept = _NONE.union(*[j.names for j in sound])
    gone = [name for name in query.names if name.name not in kept] if sound else []
    return [
        ("number lost" if name.is_number else f"lost in {kind}", f"no {kind} line holds “{name.name}”")
        for name in gone[:MOST_LOST]
    ]


@dataclass
class Score:
    """A scored expansion: `percentage` is what counts, the rest explains it."""

    query: Query
    lines: list[Judged]
    sections: Sections
    faults: list[tuple[str, str]]  # kind, explanation with the line it is about
    zero: str | None = None  # why the whole output counts for nothing

    @property
    def percentage(self) -> float:
        """0 to 100."""
        attainable = sum(self.sections.attainable.values())
        if self.zero or not attainable:
            return 0.0
        total = sum(self.sections.earned.values()) - sum(COST[kind] for kind, _ in self.faults)
        return 100 * min(1.0, max(0.0, total / attainable))


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
        return Score(asked, [], Sections(), [], zero)
    judged = [judge_line(asked, line) for line in lines]
    ranked = {kind: _rank([j for j in judged if j.line.type == kind]) for kind in qmd.LINE_TYPES}
    has_hyde = any([line.type == "hyde" for line in lines])
    sections = Sections()
    sections.add("format", float(not has_hyde or lines[0].type == "hyde"), HYDE_FIRST)
    lost = []
    for kind in ("lex", "vec"):
        if asked.only in (None, kind):
            lost += _lost_names(asked, kind, _score_searches(asked, kind, ranked[kind], sections))
    if asked.only in (None, "hyde"):
        _score_hyde(asked, ranked["hyde"], has_hyde, ranked["lex"], sections)
    faults = [(kind, f"{j.line.type} “{j.line.text}”: {why}") for j in judged if j.faults for kind, why in j.faults]
    return Score(asked, judged, sections, faults + lost)


# --- What callers use ----------------------------------------------------------------------------------


def score_expansion(query: str, expansion: str) -> float:
    """The score of an expansion, 0 to 1. `expansion` is a model's raw output."""
    return score(query, expansion).percentage / 100


def rating(percentage: float) -> str:
    """Excellent from 80, Good from 60, Acceptable from 40, Poor from 20, else Failed."""
    return next(name for least, name in RATINGS if percentage >= least)


def score_expansion_detailed(query: str, expansion: str) -> dict:
    """The score with all that led to it.

    `format`, `diversity`, `hyde`, `quality`, `entity` are the points earned in each section (of `max_by_section`),
    `faults` what is taken off, `total` what remains of `max_possible`, `percentage` their ratio. `deductions` are the
    faults in words, dearest first; `lines` the value (0 to 1) of each line, with its faults and what lowered it.
    """
    scored = score(query, expansion)
    attainable = sum(scored.sections.attainable.values())
    deductions = [f"-{COST[kind]} {why}" for kind, why in sorted(scored.faults, key=lambda fault: -COST[fault[0]])]
    return {
        **{name: round(points, 2) for name, points in scored.sections.earned.items()},
        "max_by_section": scored.sections.attainable,
        "faults": sum(COST[kind] for kind, _ in scored.faults),
        "total": round(scored.percentage * attainable / 100, 2),
        "max_possible": attainable,
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
        return message if isinstance(message, str) else message[-1]["content"]

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
    if sys.stdin.isatty():
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
    sys.exit(main())
