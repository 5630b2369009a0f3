"""What one line of an expansion is worth, by itself: its faults, or else a value from 0 to 1.

The rubric's rules about single lines; `reward.py` puts the lines together and says what a fault costs. SCORING.md
gives the reason for each rule.
"""

import math
import re
from dataclasses import dataclass

import language
import lexicon
import qmd
from query import Query, turns_into_how_to

# What a line of 1, 2, 3 or 4 ANDed terms is worth: one term finds too much, and the share of lines that find nothing
# at all is about 0.2 for 2 terms, 0.4-0.6 for 3, 0.6-0.85 for 4, 0.7-0.98 for 5 (SCORING.md, "Terms of a lex line").
HIT = (0.8, 1.0, 0.75, 0.4)
# And of one, two or three terms that the query lacks beside one of its own (SCORING.md, "Words that the query lacks").
NEW_TERMS = (1.0, 0.85, 0.6, 0.45)
HYDE_LENGTH = (50, 200)  # characters; a Chinese, Japanese or Korean one counts for two


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


NOTHING: frozenset[str] = frozenset()


def read_line(query: Query, line: qmd.Line) -> Judged:
    """A line with its words, not judged yet."""
    wanted: list[tuple[qmd.LexTerm, language.Term]] = []
    excluded = names = NOTHING
    if line.type == "lex":
        terms = [(term, language.read_term(term.text, query.language)) for term in qmd.lex_terms(line.text)]
        wanted = [pair for pair in terms if not pair[0].negated]
        words = [word for _, read in wanted for word in read.words]
        stems = NOTHING.union(*[read.stems for _, read in wanted])
        if len(wanted) < len(terms):
            excluded = NOTHING.union(*[read.stems for term, read in terms if term.negated])
    else:
        words = language.words(line.text)
    distinct = frozenset(words)
    if line.type != "lex":
        stems = language.stems(distinct - query.stop_words)
    if query.names:
        names = frozenset(
            [name.name for name in query.names if name.parts <= distinct or name.found_in(distinct, words)]
        )
    return Judged(line, words, distinct, stems, names, wanted, excluded, 1.0, [], [])


def _repeats(words: list[str], distinct: int) -> bool:
    """Whether half of eight words and more are repetitions, or one word stands three times in a row."""
    if len(words) >= 8 and distinct * 2 < len(words):
        return True
    return any(a == b == c for a, b, c in zip(words, words[1:], words[2:], strict=False))


_UNSPACED_FILLER = [p for p in lexicon.FILLER_PHRASES if " " not in p and not p.isascii()]
_PHRASES_OF_WORD: dict[str, list[str]] = {}  # by their longest word
for _phrase in lexicon.FILLER_PHRASES:
    _PHRASES_OF_WORD.setdefault(max(_phrase.split(), key=len), []).append(_phrase)
_PHRASE_WORDS = frozenset(_PHRASES_OF_WORD)


_TOKEN = re.compile(r"\w+")


def _filler(query: Query, judged: Judged) -> str | None:
    """A filler word or phrase of a lex or vec line that the query does not have itself."""
    text = judged.line.text
    listed = lexicon.FILLER_WORDS if judged.line.type == "lex" else lexicon.FRAME_WORDS
    if not listed.isdisjoint(judged.distinct):
        found = listed.intersection(_TOKEN.findall(text.lower()))  # "guide_legend" is not "guide"
        for word in sorted(found - query.words):
            if language.stem(word) not in query.stems:
                return word
    if text.isascii() and _PHRASE_WORDS.isdisjoint(judged.distinct):
        return None
    spaced = f" {' '.join(judged.words)} "
    phrases = [p for word in judged.distinct & _PHRASE_WORDS for p in _PHRASES_OF_WORD[word] if f" {p} " in spaced]
    phrases += [p for p in _UNSPACED_FILLER if p in text]
    return next((p for p in sorted(phrases) if p not in query.text.lower()), None)


_BOILERPLATE_OPENING = re.compile(lexicon.BOILERPLATE_OPENING)
_BOILERPLATE = re.compile(lexicon.BOILERPLATE_ASCII)
_BOILERPLATE_OTHER = re.compile(lexicon.BOILERPLATE_OTHER)


def _is_boilerplate(judged: Judged) -> bool:
    lowered = judged.line.text.lower()
    if judged.words[:1] and judged.words[0] in lexicon.BOILERPLATE_FIRST_WORDS and _BOILERPLATE_OPENING.match(lowered):
        return True
    if not lexicon.BOILERPLATE_WORDS.isdisjoint(judged.distinct) and _BOILERPLATE.search(lowered):
        return True
    return not lowered.isascii() and _BOILERPLATE_OTHER.search(lowered) is not None


# What a model that has lost its format writes into its lines.
_NESTED_TYPE = re.compile(r"(?:lex|vec|hyde|assistant|user|system):", re.IGNORECASE)


def _holds_prompt(text: str) -> bool:
    if "/no_think" in text or "Expand this search query" in text or "{query}" in text:
        return True
    return ":" in text and _NESTED_TYPE.match(text) is not None


def _plainly_at_home(query: Query, judged: Judged) -> bool:
    """Whether a line is so plainly in the query's language that there is nothing to look into; true of most."""
    if not query.latin or not judged.line.text.isascii():
        return False
    return judged.line.type == "lex" or len(judged.distinct & query.stop_words) > 3


def _common_faults(query: Query, judged: Judged) -> None:
    """The faults that a line of any type can have."""
    kind, text = judged.line
    fault = judged.faults.append
    if query.only and kind != query.only:
        fault(("type", f"the query asks for {query.only} alone"))
    if reason := qmd.drop_reason(query.text, judged.line):
        fault(("dropped", f"QMD drops it: it {reason}"))
    if not _plainly_at_home(query, judged) and language.in_other_language(
        query.language, query.text, query.words, text, judged.distinct, kind != "lex"
    ):
        fault(("language", f"another language than the query's ({query.language or 'Latin script'})"))
    if len(judged.distinct) + 1 < len(judged.words) and _repeats(judged.words, len(judged.distinct)):
        fault(("repetition", "repeats itself"))
    if _holds_prompt(text):
        fault(("leak", "holds a piece of a prompt"))
    if kind != "hyde" and (word := _filler(query, judged)):
        fault(("filler", f"filler “{word}”"))
    if kind != "lex" and "-" in text and qmd.has_negation(text):
        fault(("syntax", "-term works in lex alone; QMD refuses it here"))


def _coverage(query: Query, stems: frozenset[str]) -> float:
    """The share of the query's content words in a line, each weighed by how specific it is; 0 to 1."""
    if not query.weight:
        return 1.0
    held = [query.specificity[stem] for stem in stems & query.stems]
    return math.fsum(held) / query.weight  # the same in whatever order a set gives them


def _names_kept(query: Query, judged: Judged, factor: float) -> None:
    if query.names and not judged.names:
        judged.lower(factor, f"holds none of {', '.join(name.name for name in query.names)}")


def _term_size(term: qmd.LexTerm) -> float:
    """How much a term narrows a lex line, in plain words.

    Words that belong together stand together, so the second word of a phrase counts half, each further one whole. Of
    an unspaced run two characters, or a katakana word, count as a word; two words are one term, more count half again.
    """
    if term.text.isascii() and term.text.isalnum():
        return 1.0
    words = sum([part.count(" ") + 1 for part in term.match])
    if words == 1 or not any(map(str.isalpha, term.text)):  # a date is one
        return 1.0
    if language.IS_CJK.search(term.text):
        units = language.words(term.text)
        return 1 + 1.5 * max(0.0, sum([1.0 if len(unit) > 2 else 0.5 for unit in units]) - 2)
    return words - 0.5


def _hit(size: float) -> float:
    """HIT between and beyond its whole numbers."""
    low = min(int(size), len(HIT))
    high = min(low + 1, len(HIT))
    return HIT[low - 1] + (size - int(size)) * (HIT[high - 1] - HIT[low - 1])


def _repeats_query(query: Query, judged: Judged) -> bool:
    """Whether a lex line ANDs all words of a longer query, or all that carry meaning of a still longer one."""
    if query.length < 3 or any(term.phrase for term, _ in judged.wanted):
        return False
    return judged.distinct >= query.words or (query.length > 3 and judged.stems >= query.stems)


def _lex_faults(query: Query, judged: Judged, size: float) -> None:
    fault = judged.faults.append
    if qmd.unmatched_quote(judged.line.text):
        fault(("syntax", "unmatched double quote"))
    elif not judged.wanted:
        fault(("syntax", "leaves nothing to search for"))
    dead = [term for term, _ in judged.wanted if term.dead]
    if dead and query.searchable:
        fault(("dead", f"QMD searches “{dead[0].text}” as {' AND '.join(dead[0].match)}, which stands in no text"))
    if judged.excluded and not (judged.excluded - query.may_exclude).isdisjoint(query.stems):
        fault(("excludes", "excludes a word that the query asks for"))
    if len(judged.wanted) > 4 or size > 5:
        fault(("long", f"{len(judged.wanted)} terms ANDed: hardly any text holds them all"))
    elif _repeats_query(query, judged):
        fault(("whole query", "repeats the whole query, which QMD searches anyway"))


def _kinship(query: Query, text: str) -> float:
    """What a lex line without a word of the query is worth: much in a script that QMD does not filter by, else little.

    Unless it holds such a word in another inflection.
    """
    terms = qmd.query_terms(query.text)
    lowered = text.lower()
    return 0.85 if not terms else 0.7 if any(len(term) > 3 and term in lowered for term in terms) else 0.25


def new_terms(query: Query, judged: Judged) -> int:
    """How many terms of a lex line hold no word of the query."""
    return sum([query.stems.isdisjoint(read.stems) for _, read in judged.wanted])


def _judge_lex(query: Query, judged: Judged) -> None:
    count = len(judged.wanted)
    size = sum([_term_size(term) for term, _ in judged.wanted])
    _lex_faults(query, judged, size)
    if judged.faults:
        return
    if not query.searchable and any(term.dead for term, _ in judged.wanted):
        judged.lower(0.0, "QMD can find none of it in this script")
    if size != 2:
        judged.lower(_hit(size), f"{count} term{'s' * (count != 1)} ANDed")
    rarest = [read.specificity for _, read in judged.wanted]
    if count > 2:
        rarest = sorted(rarest)[-2:]
    judged.lower(0.2 + 0.8 * sum(rarest) / len(rarest), "common words")
    if judged.distinct >= query.words and judged.stems == query.stems:
        judged.lower(0.35, "the same terms as the query, which QMD searches anyway")
    new = new_terms(query, judged)
    if new == count and query.stems:
        judged.lower(_kinship(query, judged.line.text), "no word of the query")
    elif new > (len(query.stems) < 3):  # a query of two words has hardly a pair of its own to offer
        judged.lower(NEW_TERMS[min(new, len(NEW_TERMS) - 1)], f"{new} term{'s' * (new > 1)} that the query lacks")
    if not query.excluded.isdisjoint(judged.stems):
        judged.lower(0.3, "searches for what the query excludes")
    _names_kept(query, judged, 0.7)


def _squash(text: str) -> str:
    return "".join(filter(str.isalnum, text.lower()))


_META_STEMS = language.stems(lexicon.META_WORDS)


def _judge_vec(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if judged.words == query.word_list and _squash(text) == _squash(query.text):
        judged.faults.append(("whole query", "is the query, which QMD searches anyway"))
    if not query.how_to and turns_into_how_to(text, judged.words, trouble=query.trouble):
        judged.faults.append(("need", "asks how to do it; the query does not"))
    if query.how_to and text.lower().startswith(("what is ", "what are ", "definition of ")):
        judged.faults.append(("need", "asks what it is; the query asks how to do it"))
    if judged.faults:
        return
    if len(judged.words) < 4:
        judged.lower(0.4, "keywords, not a sentence")
    adds = judged.stems - query.stems - _META_STEMS
    if not adds and (judged.stems >= query.stems or _squash(query.text) in _squash(text)):
        judged.lower(0.4, "says no more than the query")
    elif not adds:
        judged.lower(0.8, "no word that the query lacks")
    judged.lower(0.4 + 0.6 * min(1.0, _coverage(query, judged.stems) / 0.5), "loses what the query is about")
    if len(text) > 300:
        judged.lower(0.5, "runs on")
    _names_kept(query, judged, 0.5)


def _judge_hyde(query: Query, judged: Judged) -> None:
    text = judged.line.text
    if _is_boilerplate(judged):
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
    new = len(judged.stems - query.stems - _META_STEMS)
    if new < 5 and query.length > 2 and _squash(query.text) in _squash(text):
        judged.lower(0.5, "repeats the query word for word")
    judged.lower(0.4 + 0.6 * min(1.0, new / 4), "says little that the query does not")
    _names_kept(query, judged, 0.6)


_JUDGES = {"lex": _judge_lex, "vec": _judge_vec, "hyde": _judge_hyde}


def judge_line(query: Query, line: qmd.Line) -> Judged:
    """Judge one line by itself."""
    judged = read_line(query, line)
    _common_faults(query, judged)
    _JUDGES[line.type](query, judged)
    if judged.faults:
        judged.value = 0.0
    return judged
