"""What a query asks for, as far as its words tell: names to keep, words to exclude, the kind of need.

Rules and word lists (`lexicon.py`) only; standard library.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import language
import lexicon
import qmd

# A number, alone or with a unit.
_QUANTITY = re.compile(r"\W*\d+(?:[.,]\d+)*\W?[a-zA-Z]{0,2}\W*")
_DIGIT = re.compile(r"\d")
# English, and Turkish, which parts the ending of a name with an apostrophe.
_POSSESSIVE = re.compile("['’](?:s|n?[iıuü]n|y?[aeiıuü]|[dt][ae]n?)$")
_LATIN_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+#_/@'’-]*")
_CODE_LIKE = re.compile(r"(?=.*[a-zA-Z])(?:.*\w[._/#@:]+\w.*|\w+(?:\+\+|#)|.*[a-z][A-Z].*|--?\w[\w-]+|\.[a-z]\w+)")


_PLAIN_ENGLISH = lexicon.STOP_WORDS["en"] | lexicon.COMMON_ENGLISH
_NO_OWNERS = lexicon.NOT_POSSESSIVE | lexicon.COMMON_ENGLISH


def _is_name(token: str, *, first: bool, code: str | None, shouted: bool) -> bool:
    lowered = token.lower()
    if lowered in lexicon.NOT_NAMES or re.fullmatch(r"\d:\d", token):
        return False
    if _DIGIT.search(token) or _CODE_LIKE.fullmatch(token):
        return True
    if lowered in lexicon.AMBIGUOUS_NAMES and (token == lowered or first):
        return False
    if lowered in lexicon.FIRST_NAMES or lowered in lexicon.PRODUCT_NAMES or lowered in lexicon.MONTHS_AND_DAYS:
        # "march" and "may" are mostly verbs in lower case.
        return token != lowered or lowered not in ("march", "may")
    if shouted or token == lowered:
        return False
    if token.isupper() and len(token) > 1:
        return lowered not in lexicon.TROUBLE_WORDS
    if code == "de" or lowered in lexicon.COMMON_ENGLISH or lowered in lexicon.LANGUAGES_OF_WORD:
        return False
    return token[0].isupper() and not first


def named_entities(query: str, code: str | None) -> tuple[str, ...]:
    """Names, acronyms, versions, numbers, dates, file names and the like in a query in language `code`, each once.

    Capitals tell in most languages (not in German, whose nouns have them); digits, inner punctuation, possessives and
    the lists of first names and products tell in a query without capitals. Excluded words (`-coffee`) are no names.
    """
    shouted = len(query) > 5 and query.isupper()
    if code in _OTHER_SCRIPTS:
        latin = [run.rstrip(".-/") for run in _LATIN_RUN.findall(query)]
        people = ["".join(groups) for groups in _PERSON.findall(query)]
        capital = [word.strip(language.EDGE) for word in query.split()[1:] if word.istitle() and not word.isascii()]
        return tuple(dict.fromkeys([run for run in latin if _is_latin_name(run)] + people + capital))
    found: dict[str, str] = {}
    unsure: dict[str, str] = {}
    capital_before = False
    tokens = query.split()
    for position, raw in enumerate(tokens):
        if raw.startswith("-") and not raw.startswith("--") and len(raw) > 1 and position:
            continue
        first = position == 0 or tokens[position - 1].endswith((":", ".", "?", "!"))
        token = raw.strip(language.EDGE).rstrip(".-/").strip(language.EDGE)
        base = _POSSESSIVE.sub("", token)
        owner = base != token and base.lower() not in _NO_OWNERS
        introduced = position > 0 and _is_introduced(tokens[:position])
        if base and (
            owner or _is_name(base, first=first, code=code, shouted=shouted) or (introduced and _is_word(base))
        ):
            capital = base.istitle() and base.isalpha()
            if capital and capital_before and found:
                last = next(reversed(found))
                found[last] += f" {base}"
            else:
                found.setdefault(base.lower(), base)
            capital_before = capital
        else:
            capital_before = False
            if base.lower() in lexicon.AMBIGUOUS_NAMES:
                unsure[base.lower()] = base
    if any(not _QUANTITY.fullmatch(name) for name in found.values()):
        found = {**found, **unsure}
    return tuple(found.values())


_OTHER_SCRIPTS = frozenset(["zh", "ja", "zh/ja", "ko", "ru", "ar", "hi"])
# A name before a Japanese or Korean form of address.
_PERSON = re.compile("([\u4e00-\u9fff\u30a0-\u30ff]{1,4})(?:さん|様|君|氏)|([\uac00-\ud7a3]{2,4})(?:씨|님)")
# What is followed by a person's name: a form of address, or an occasion "with".
_ADDRESSES = frozenset(["dr", "dr.", "mr", "mr.", "mrs", "mrs.", "ms", "ms."])
_OCCASIONS = frozenset(["meeting", "call", "lunch", "talk", "chat", "coffee", "1:1", "1-1", "sync", "interview"])


def _is_introduced(before: list[str]) -> bool:
    last = before[-1].lower()
    return last in _ADDRESSES or (last == "with" and len(before) > 1 and before[-2].lower() in _OCCASIONS)


def _is_latin_name(run: str) -> bool:
    """Whether Latin letters in a query of another script are a name: all but single letters and plain English words."""
    return run.isdigit() or (len(run) > 1 and run not in _PLAIN_ENGLISH)


def _is_word(token: str) -> bool:
    lowered = token.lower()
    return token.isalpha() and len(token) > 2 and lowered not in _PLAIN_ENGLISH


class NameMatcher:
    """Tells whether a line holds a name, in another spelling too ("node.js" as "nodejs", "Москве" for "Москва")."""

    def __init__(self, name: str) -> None:
        self.name = name
        parts = language.words(name)
        if " " in name:  # of a full name its last, or its rarest, part will do
            parts = [max(reversed(parts), key=language.specificity)]
        self.parts = frozenset(parts)
        self.stems = language.stems(self.parts)
        self.squashed = "".join(parts)
        # A long name may be inflected; of one with inner punctuation ("Makefile:3") the main part will do.
        longest = max(parts, key=len) if len(self.parts) > 1 else self.squashed  # the first of those
        kept = 5 if len(longest) > 5 else 4 if len(longest) == 5 and not longest.isascii() else 0
        self.prefix = longest[:kept] if kept and longest.isalpha() else ""
        self.is_number = _QUANTITY.fullmatch(name) is not None

    def found_in(self, distinct: frozenset[str], words: list[str]) -> bool:
        """Whether a line holds the name in another spelling; `words` are its words, `distinct` the same as a set."""
        if len(self.squashed) < 4:
            return f"{self.squashed}'s" in distinct
        start = self.prefix or self.squashed
        for word in distinct:
            if word.startswith(start):
                return True
        return self.squashed in "".join(words) and any(a + b == self.squashed for a, b in pairwise(words))


_FIRST_WORDS = frozenset(language.words(opening)[0] for opening in lexicon.HOW_TO_OPENINGS)


_SPACED_OPENINGS = tuple(f" {opening}" for opening in lexicon.HOW_TO_OPENINGS if opening.isascii())
_OTHER_OPENINGS = (
    *(opening for opening in lexicon.HOW_TO_OPENINGS if not opening.isascii()), *lexicon.HOW_TO_ENDINGS, "方法", "방법",
)  # fmt: skip


def asks_how_to(query: str) -> bool:
    """Whether a query asks for a procedure: it has a how-to opening anywhere, or begins with a verb of action."""
    lowered = f" {query.lower()}"
    if any(o in lowered for o in _SPACED_OPENINGS):
        return True
    if not query.isascii() and any(o in lowered for o in _OTHER_OPENINGS):
        return True
    tokens = language.words(query)
    if not tokens:
        return False
    gerund = tokens[0].removesuffix("ing") if tokens[0].endswith("ing") else ""
    verbs = {tokens[0], gerund, f"{gerund}e", gerund[:-1]}
    return not verbs.isdisjoint(lexicon.ACTION_VERBS) or not lexicon.HOW_TO_WORDS.isdisjoint(tokens)


def reports_trouble(query: str) -> bool:
    """Whether a query says that something is broken, so that mending it is what it asks for."""
    return not lexicon.TROUBLE_WORDS.isdisjoint(language.words(query))


def turns_into_how_to(text: str, tokens: list[str], *, trouble: bool) -> bool:
    """Whether a line asks for a procedure; where the query reports trouble, asking for the repair does not count.

    `tokens` are the `words` of `text`.
    """
    opens = tokens[:1] and tokens[0] in _FIRST_WORDS and text.lower().startswith(lexicon.HOW_TO_OPENINGS)
    if not opens and (text.isascii() or not text.endswith(lexicon.HOW_TO_ENDINGS)):
        return False
    return not (trouble and not lexicon.REPAIR_WORDS.isdisjoint(tokens[:6]))


@dataclass(frozen=True)
class Query:
    """What the rubric needs to know of a query."""

    text: str
    only: str | None
    word_list: list[str]
    words: frozenset[str]
    stop_words: frozenset[str]
    stems: frozenset[str]  # of the content words
    specificity: dict[str, float]  # of each stem
    weight: float  # the sum of the specificities
    rarest: frozenset[str]  # the four most specific of the stems
    length: int  # content words, "node.js" being one; two Chinese, Japanese or Korean characters count as one
    searchable: bool  # QMD can find some of its words at all; it can't find most Hindi ones
    excluded: frozenset[str]  # stems of `-term`
    may_exclude: frozenset[str]  # and of what follows "not", "no" or "without": a lex line may exclude it
    language: str | None
    latin: bool  # its language, where it is known, is written in Latin letters
    names: tuple[NameMatcher, ...]
    how_to: bool
    trouble: bool


def _says_where(name: NameMatcher, content: Set[str], words: Set[str]) -> bool:
    """Whether a name is the only programming language beside two other words: it says where to look, not what for."""
    alone = words & lexicon.PROGRAMMING_LANGUAGES <= name.parts
    return alone and name.name.lower() in lexicon.PROGRAMMING_LANGUAGES and len(content - name.stems) >= 2


# Fewer letters are a flag ("set -e").
_EXCLUDED = re.compile(r'(?<!\S)-("[^"]+"|\w{3}\S*)')
_DENIED = re.compile(r"\b(?:not|no|without|except|ohne|sans|sin|sem|senza|zonder|bez) (\S+)")


@lru_cache(maxsize=4096)
def read_query(query: str) -> Query:
    """Analyse a query once; `/only:TYPE` at its end is a mode, not a part of it."""
    text, only = qmd.split_mode(query)
    code = language.query_language(text)
    gone = language.stems(w for found in _EXCLUDED.findall(text) for w in language.words(found))
    denied = gone | language.stems(w for found in _DENIED.findall(text) for w in language.words(found))
    words = language.words(text)
    distinct = frozenset(words)
    stop_words = language.stop_words(code)
    content = [w for w in words if w not in stop_words] or words
    specificity = {language.stem(w): language.specificity(w) for w in content if language.stem(w) not in gone}
    tokens = [language.stems(language.words(token)) for token in text.split()]
    return Query(
        text=text,
        only=only,
        word_list=words,
        words=distinct,
        stop_words=stop_words,
        stems=frozenset(specificity),
        specificity=specificity,
        weight=sum(specificity.values()),
        rarest=frozenset(sorted(specificity.keys() - denied, key=lambda s: (-specificity[s], s))[:4]),
        length=max(sum(not token.isdisjoint(specificity) for token in tokens), language.cjk_characters(text) // 2),
        searchable=any(not term.dead for term in qmd.lex_terms(text)),
        excluded=gone,
        may_exclude=denied,
        language=code,
        latin=code not in _OTHER_SCRIPTS,
        names=tuple(
            name
            for name in map(NameMatcher, named_entities(text, code))
            if name.parts and not name.stems <= denied and not _says_where(name, specificity.keys(), distinct)
        ),
        how_to=asks_how_to(text),
        trouble=reports_trouble(text),
    )
