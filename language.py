"""How `reward.py` reads a text: its words and their stems, its language, the names in it, the kind of need.

Rules and word lists only (`lexicon.py`): no model, no corpus, standard library only. They are made for short search
queries and for lines of one sentence, and prefer to say nothing over guessing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import lexicon

_CJK = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
# Vowel signs and accents that Python does not count as word characters (Latin, Arabic, Devanagari).
_MARKS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u200c\u200d"
_LETTERS = f"[^\\W_{_CJK}]+"
_WORD = re.compile(f"[{_CJK}]+|{_LETTERS}(?:[{_MARKS}'’]+{_LETTERS})*[{_MARKS}]*")
_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)*")
_ASCII_SPACED = {code: " " for code in range(128) if not chr(code).isalnum()}
_IS_CJK = re.compile(f"[{_CJK}]")

_SCRIPTS = {
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa]"),
    "hangul": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
    "han": re.compile("[\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
}
_OTHER_SCRIPT = re.compile("|".join(pattern.pattern for pattern in _SCRIPTS.values()))
# Punctuation that may stand around a word.
_EDGE = "\"'“”‘’«»„()[]{}<>,;:!?…。、，？！：；「」『』（）*`"
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
# The scripts in which a language may be written, beside Latin names.
_SCRIPTS_OF_LANGUAGE = {
    "ja": ("kana", "han"),
    "ko": ("hangul", "han"),
    "zh": ("han",),
    "zh/ja": ("han", "kana"),
    "ru": ("cyrillic",),
    "ar": ("arabic",),
    "hi": ("devanagari",),
}


def words(text: str) -> list[str]:
    """The lower-cased words of a text; a run of Chinese, Japanese or Korean characters gives its character pairs."""
    lowered = text.lower()
    if lowered.isascii():
        return _ASCII_WORD.findall(lowered) if "'" in lowered else lowered.translate(_ASCII_SPACED).split()
    found: list[str] = []
    for token in _WORD.findall(lowered.replace("’", "'")):
        if _IS_CJK.match(token) and len(token) > 2:
            found += [token[i : i + 2] for i in range(len(token) - 1)]
        else:
            found.append(token)
    return found


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    if word.isascii() and len(word) > 4:
        for ending, least in (("ing", 4), ("ies", 3), ("ied", 3), ("es", 4), ("ed", 4), ("s", 3), ("y", 4), ("e", 4)):
            if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
                word = word[: -len(ending)]
                break
    elif word.isascii() and len(word) == 4 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word[:6]


class _Stems(dict[str, str]):
    """The stems of the words seen: every word of every line is looked up, and a dict is twice as fast as lru_cache."""

    def __missing__(self, word: str) -> str:
        if len(self) >= 1 << 18:
            self.clear()
        self[word] = stem = _stem(word)
        return stem


_STEMS = _Stems()


def stem(word: str) -> str:
    """What a word shares with its inflections and abbreviations: no English ending, six characters at the most.

    "configuration", "configure" and "config" share one stem, as QMD's prefix match and Porter stemmer let them meet.
    """
    return _STEMS[word]


def stems(distinct: Iterable[str]) -> frozenset[str]:
    """The stems of some words."""
    return frozenset(map(_STEMS.__getitem__, distinct))


def cjk_characters(text: str) -> int:
    """The number of Chinese, Japanese and Korean characters in a text."""
    return 0 if text.isascii() else len(_IS_CJK.findall(text))


@lru_cache(maxsize=65536)
def specificity(word: str) -> float:
    """How much a word narrows a search: 0 for English function words, then by frequency rank, 1 for a rare word."""
    if word in lexicon.STOP_WORDS["en"]:
        return 0.0
    return lexicon.SPECIFICITY.get(word, 1.0)


class Term(NamedTuple):
    """What the rubric reads in a term of a lex line: its words, their stems, how much the rarest of them narrows."""

    words: tuple[str, ...]
    stems: frozenset[str]
    specificity: float


@lru_cache(maxsize=65536)
def read_term(text: str, language: str | None) -> Term:
    """Read a term of a lex line for a query in `language`, whose function words narrow nothing."""
    tokens = tuple(words(text))
    stop_words = lexicon.STOP_WORDS.get(language or "en", frozenset())
    return Term(
        tokens,
        stems(w for w in tokens if w not in stop_words),
        max((0.0 if w in stop_words else specificity(w) for w in tokens), default=0.0),
    )


def scripts(text: str) -> dict[str, int]:
    """The number of letters in each script that is not Latin, where there are any."""
    if text.isascii() or not _OTHER_SCRIPT.search(text):
        return {}
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    return {name: n for name, n in counts.items() if n}


def _latin_votes(text: str) -> dict[str, float]:
    """For each Latin-script language the number of its function words in a text, shared ones split between languages."""
    votes: dict[str, float] = {}
    for token in {raw.strip(_EDGE) for raw in text.lower().split()} & lexicon.LANGUAGES_OF_WORD.keys():
        languages = lexicon.LANGUAGES_OF_WORD[token]
        for code in languages:
            votes[code] = votes.get(code, 0.0) + 1.0 / len(languages)
    return votes


def _script_language(found: dict[str, int], text: str) -> str:
    for script, code in (("kana", "ja"), ("hangul", "ko"), ("cyrillic", "ru"), ("arabic", "ar"), ("devanagari", "hi")):
        if found.get(script, 0) * 8 >= sum(found.values()):
            return code
    if not lexicon.CHINESE_HAN.isdisjoint(text):
        return "zh"
    return "zh/ja" if lexicon.JAPANESE_HAN.isdisjoint(text) else "ja"


def query_language(query: str) -> str | None:
    """The ISO 639-1 code of a query's language, "zh/ja" where the characters fit both, None where nothing tells.

    Another script than Latin decides, unless English or other function words surround it. In Latin script function
    words decide, for English frequent words too; a query of names and rare words alone stays undecided.
    """
    votes = _latin_votes(query)
    best = max(votes, key=votes.get, default=None)
    found = scripts(query)
    if found and not (best and votes[best] >= 2 and sum(found.values()) < len(_LATIN.findall(query))):
        return _script_language(found, query)
    runner_up = max((n for code, n in votes.items() if code != best), default=0.0)
    # Two words, or one of English: a lone function word of another language may be a technical term ("pod", "die").
    if best and votes[best] > runner_up and votes[best] >= (1 if best == "en" and query.isascii() else 1.5):
        return best
    tokens = words(query)
    frequent = sum(token in lexicon.COMMON_ENGLISH and token not in lexicon.PRODUCT_NAMES for token in tokens)
    return "en" if not votes and query.isascii() and 0 < len(tokens) <= 2 * frequent else None


def in_other_language(
    language: str | None, query: str, text: str, text_words: frozenset[str], *, sentence: bool
) -> bool:
    """Whether `text`, whose `words` are `text_words`, is plainly in another language than a query in `language`.

    Latin names may stand in a text of any script, and a lex line (`sentence` False) may consist of them.
    """
    expected = _SCRIPTS_OF_LANGUAGE.get(language or "")
    if expected is None:
        if not text.isascii() and _mostly_foreign_script(query, text):
            return True
        return sentence and language is not None and _other_latin_language(language, text, text_words)
    found = scripts(text)
    own = sum(found.get(script, 0) for script in expected)
    if not sentence:
        return own == 0 and set(words(query)).isdisjoint(text_words) and not _only_names(text)
    if language == "ja" and not found.get("kana"):
        return True
    if language == "zh" and found.get("kana", 0) > 1:
        return True
    return own < 0.25 * (sum(found.values()) + len(_LATIN.findall(text)) / 2)


def _mostly_foreign_script(query: str, text: str) -> bool:
    """Whether more than 30% of the letters are not Latin, unless the query has them itself."""
    foreign = sum(scripts(text).values())
    if foreign <= 0.3 * (foreign + len(_LATIN.findall(text))):
        return False
    return not any(run in query for run in re.findall(r"[^\W\d_A-Za-z]+", text))


def _only_names(text: str) -> bool:
    return all(
        token != token.lower() or not token.isalpha() or token in lexicon.PRODUCT_NAMES or token in lexicon.FIRST_NAMES
        for token in re.findall(r"[^\W_]+", text)
    )


def _other_latin_language(language: str, text: str, text_words: frozenset[str]) -> bool:
    if len(text_words) < 4 or len(lexicon.STOP_WORDS[language] & text_words) > 2:
        return False
    votes = _latin_votes(text)
    best = max(votes, key=votes.get, default=language)
    return best != language and votes[best] >= 1.5 and votes.get(language, 0.0) < votes[best] / 2


# --- Names ---------------------------------------------------------------------------------------------

_LATIN_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+#_/@'’-]*")
_NOT_NAMES = frozenset(["i", "i'm", "i've", "i'll", "i'd", "ok", "vs", "or", "and", "not", "tv", "pc", "diy", "faq", "todo", "a"])
_NO_POSSESSIVE = frozenset(["it", "that", "what", "let", "here", "there", "who", "how", "where", "today", "yesterday", "tomorrow", "week", "month", "year"])
_CODE_LIKE = re.compile(r"(?=.*[a-zA-Z])(?:.*\w[._/#@:]+\w.*|\w+(?:\+\+|#)|.*[a-z][A-Z].*|--?\w[\w-]+|\.[a-z]\w+)")


def _is_name(token: str, *, first: bool, language: str | None, shouted: bool) -> bool:
    lowered = token.lower()
    if lowered in _NOT_NAMES or re.fullmatch(r"\d:\d", token):
        return False
    if any(c.isdigit() for c in token) or _CODE_LIKE.fullmatch(token):
        return True
    if lowered in lexicon.FIRST_NAMES or lowered in lexicon.PRODUCT_NAMES or lowered in lexicon.MONTHS_AND_DAYS:
        # "march" and "may" are mostly verbs in lower case.
        return token != lowered or lowered not in ("march", "may")
    if shouted or token == lowered:
        return False
    if token.isupper() and len(token) > 1:
        return lowered not in lexicon.TROUBLE_WORDS
    if language == "de" or lowered in lexicon.COMMON_ENGLISH or lowered in lexicon.LANGUAGES_OF_WORD:
        return False
    return token[0].isupper() and (not first or language == "en")


@lru_cache(maxsize=8192)
def named_entities(query: str) -> tuple[str, ...]:
    """Names, acronyms, versions, numbers, dates, file names and the like in a query, in order, each once.

    Capitals tell in most languages (not in German, whose nouns have them); digits, inner punctuation, possessives and
    the lists of first names and products tell in a query without capitals. Excluded words (`-coffee`) are no names.
    """
    language = query_language(query)
    letters = [c for c in query if c.isalpha()]
    shouted = len(letters) > 5 and all(c.isupper() for c in letters)
    spaced = not _IS_CJK.search(query)
    tokens = query.split() if spaced else _LATIN_RUN.findall(query)
    found: dict[str, str] = {}
    for position, raw in enumerate(tokens):
        if raw.startswith("-") and not raw.startswith("--") and len(raw) > 1 and position:
            continue
        first = position == 0 or tokens[position - 1].endswith((":", ".", "?", "!"))
        token = raw.strip(_EDGE).rstrip(".-/").strip(_EDGE)
        base = re.sub(r"['’]s$", "", token)
        if (base != token and base.lower() not in _NO_POSSESSIVE and base.lower() not in lexicon.SPECIFICITY) or (len(base) > 0 and _is_name(base, first=first, language=language, shouted=shouted)):
            found.setdefault(base.lower(), base)
    return tuple(found.values())


class NameMatcher:
    """Tells whether a line holds a name, in another spelling too ("node.js" as "nodejs", "Москве" for "Москва")."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts = frozenset(words(name))
        self.stems = stems(self.parts)
        self.squashed = "".join(words(name))
        # A long name may be inflected; of one with inner punctuation ("Makefile:3", "std::vector") the main part will do.
        longest = max(self.parts, key=len, default="") if len(self.parts) > 1 else self.squashed
        self.prefix = longest[:5] if longest.isalpha() and len(longest) > 5 else ""
        self.is_number = not any(c.isalpha() for c in name)

    def found_in(self, line_words: frozenset[str], joined: str) -> bool:
        """Whether a line holds the name; `joined` are its words without anything between them."""
        if self.parts and self.parts <= line_words:
            return True
        if len(self.squashed) > 3:
            return self.squashed in joined or (self.prefix != "" and self.prefix in joined)
        return f"{self.squashed}'s" in line_words


# --- Kinds of need -------------------------------------------------------------------------------------


_FIRST_WORDS = frozenset(words(opening)[0] for opening in lexicon.HOW_TO_OPENINGS)


def asks_how_to(query: str) -> bool:
    """Whether a query asks for a procedure: it has a how-to opening anywhere, or begins with a verb of action."""
    lowered = query.lower()
    padded = f" {lowered}"
    if any(
        (f" {opening}" in padded) if opening.isascii() else opening in lowered for opening in lexicon.HOW_TO_OPENINGS
    ):
        return True
    first = next(iter(words(lowered)), "")
    return first in lexicon.ACTION_VERBS or any(
        w in ("howto", "setup", "steps", "setting", "configuring") for w in words(lowered)
    )


def reports_trouble(query: str) -> bool:
    """Whether a query says that something is broken, so that mending it is what it asks for."""
    return not lexicon.TROUBLE_WORDS.isdisjoint(words(query))


def turns_into_how_to(text: str, tokens: list[str], *, trouble: bool) -> bool:
    """Whether a line asks for a procedure; where the query reports trouble, asking for the repair does not count.

    `tokens` are the `words` of `text`.
    """
    if not tokens or tokens[0] not in _FIRST_WORDS or not text.lower().startswith(lexicon.HOW_TO_OPENINGS):
        return False
    return not (trouble and not lexicon.REPAIR_WORDS.isdisjoint(tokens[:6]))
