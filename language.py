"""How the rubric reads a text: its words, what they share with their inflections, and its language.

Rules and word lists (`lexicon.py`) only: no model, no corpus, standard library. They are made for short search queries
and for lines of one sentence, and prefer to say nothing over guessing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import lexicon

_HAN = "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_HIRAGANA = "\u3040-\u309f"
_KATAKANA = "\u30a0-\u30ff"
_HANGUL = "\uac00-\ud7a3"
_CJK = _HAN + _HIRAGANA + _KATAKANA + _HANGUL
# Vowel signs and accents that Python does not count as word characters (Latin, Arabic, Devanagari).
_MARKS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u200c\u200d"
_LETTERS = f"[^\\W_{_CJK}]+"
# "don't" and "sarah's" are one word, "d'eau" and "o'brien" are two.
_ENDING = r"(?:'(?:s|t|re|ve|ll|d|m)\b)?"
_WORD = re.compile(f"[{_HAN}]|[{_KATAKANA}]+|[{_HANGUL}]+|{_LETTERS}(?:[{_MARKS}]+{_LETTERS})*[{_MARKS}]*{_ENDING}")
_HIRAGANA_RUN = re.compile(f"[{_HIRAGANA}]+")
_HANGUL_START = re.compile(f"[{_HANGUL}]")
_ASCII_WORD = re.compile(f"[a-z0-9]+{_ENDING}")
# Every byte of ASCII text to its lower case, all but letters and digits to a space.
_ASCII_LOWERED = bytes(ord(chr(b).lower()) if chr(b).isalnum() and b < 128 else 32 for b in range(256))
IS_CJK = re.compile(f"[{_CJK}]")

_SCRIPTS = {
    "kana": re.compile("[\u3041-\u3096\u30a1-\u30fa]"),
    "hangul": re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]"),
    "han": re.compile("[\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
}
# The scripts in which a language may be written, beside Latin names.
_SCRIPTS_OF_LANGUAGE = {
    "ja": ("kana", "han"),
    "ko": ("hangul",),
    "zh": ("han",),
    "zh/ja": ("han", "kana"),
    "ru": ("cyrillic",),
    "ar": ("arabic",),
    "hi": ("devanagari",),
}
_OTHER_SCRIPT = re.compile("|".join(pattern.pattern for pattern in _SCRIPTS.values()))
_OWN_LETTERS = {
    code: re.compile("|".join(_SCRIPTS[name].pattern for name in names)) for code, names in _SCRIPTS_OF_LANGUAGE.items()
}
# Punctuation that may stand around a word.
EDGE = "\"'“”‘’«»„()[]{}<>,;:!?…。、，？！：；「」『』（）*`"
_QUOTED = re.compile('"[^"]*"')
_LATIN_WORD = re.compile("[A-Za-z]{2,}")
_ACCENT = re.compile("[\u00c0-\u024f]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def words(text: str) -> list[str]:
    """The lower-cased words of a text.

    A Chinese character counts as a word, as in QMD's index; a run of katakana is one; Hangul words give their
    character pairs, so that particles do not hide the noun. Hiragana, mostly endings and particles, counts only where
    there is nothing else.
    """
    if text.isascii():
        if "'" in text:
            return _ASCII_WORD.findall(text.lower())
        return text.encode().translate(_ASCII_LOWERED).decode().split()
    lowered = text.lower()
    found: list[str] = []
    for token in _WORD.findall(lowered.replace("’", "'")):
        if _HANGUL_START.match(token):
            found += _pairs(token)
        else:
            found.append(token)
    return found or [pair for run in _HIRAGANA_RUN.findall(lowered) for pair in _pairs(run)]


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
    return 0 if text.isascii() else len(IS_CJK.findall(text))


@lru_cache(maxsize=65536)
def specificity(word: str) -> float:
    """How much a word narrows a search: 0 for English function words, then by frequency rank, 1 for a rare word."""
    if word in lexicon.STOP_WORDS["en"]:
        return 0.0
    return lexicon.SPECIFICITY.get(word, 1.0)


def stop_words(language: str | None) -> frozenset[str]:
    """The function words of a language; of English where the language is not known."""
    code = {"zh/ja": "zh", None: "en"}.get(language, language)
    return lexicon.STOP_WORDS.get(code, frozenset())


class Term(NamedTuple):
    """What the rubric reads in a term of a lex line: its words, their stems, how much the rarest of them narrows."""

    words: tuple[str, ...]
    stems: frozenset[str]
    specificity: float


@lru_cache(maxsize=65536)
def read_term(text: str, language: str | None) -> Term:
    """Read a term of a lex line for a query in `language`, whose function words narrow nothing."""
    tokens = tuple(words(text))
    empty = stop_words(language)
    return Term(
        tokens,
        stems(w for w in tokens if w not in empty),
        max((0.0 if w in empty else specificity(w) for w in tokens), default=0.0),
    )


def scripts(text: str) -> dict[str, int]:
    """The number of letters in each script that is not Latin, where there are any."""
    if text.isascii() or not _OTHER_SCRIPT.search(text):
        return {}
    counts = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS.items()}
    return {name: n for name, n in counts.items() if n}


def _latin_votes(text: str) -> dict[str, float]:
    """The number of function words of each Latin-script language in a text; shared ones are split between languages."""
    votes: dict[str, float] = {}
    for token in dict.fromkeys([raw.strip(EDGE) for raw in text.lower().split()]):
        languages = lexicon.LANGUAGES_OF_WORD.get(token, ())
        for code in languages:
            votes[code] = votes.get(code, 0.0) + 1.0 / len(languages)
    return votes


def _leader(votes: dict[str, float]) -> tuple[str | None, float, float]:
    """The language with the most votes, how many these are, and how many the next one has."""
    best = max(votes, key=votes.get, default=None)
    runner_up = max((n for code, n in votes.items() if code != best), default=0.0)
    return best, votes.get(best, 0.0), runner_up


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
    found = scripts(query)
    if found and not (max(votes.values(), default=0) >= 2 and sum(found.values()) < len(_LATIN.findall(query))):
        return _script_language(found, query)
    for letters, code in _TELLING_LETTERS:
        if not letters.isdisjoint(query.lower()):
            votes[code] = votes.get(code, 0.0) + 1.0
            break
    best, most, runner_up = _leader(votes)
    # Two words, or one of English: a lone function word of another language may be a technical term ("pod", "die").
    if most > runner_up and most >= (1 if best == "en" and query.isascii() else 1.5):
        return best
    tokens = words(query)
    frequent = sum(token in lexicon.COMMON_ENGLISH and token not in lexicon.PRODUCT_NAMES for token in tokens)
    return "en" if not votes and query.isascii() and 0 < len(tokens) <= 2 * frequent else None


# Letters that one of the listed languages has and the others lack, the surest first.
_TELLING_LETTERS = tuple(
    (frozenset(letters), code)
    for letters, code in (
        ("ñ¿¡", "es"),
        ("ãõ", "pt"),
        ("ß", "de"),
        ("łęąśźżńć", "pl"),
        ("şğı", "tr"),
        ("äöü", "de"),
        ("œ", "fr"),
    )
)


def in_other_language(
    language: str | None, query: str, query_words: frozenset[str], text: str, text_words: frozenset[str], sentence: bool
) -> bool:
    """Whether `text` is plainly in another language than a query in `language`; the sets are the `words` of both.

    Latin names may stand in a text of any script, and a lex line (`sentence` False) may consist of them.
    """
    own_letters = _OWN_LETTERS.get(language)
    if own_letters is None:
        if not text.isascii() and _mostly_foreign_script(query, text):
            return True
        return sentence and _other_latin_language(language, query, text, text_words)
    if not sentence:
        return not own_letters.search(text) and query_words.isdisjoint(text_words) and not _only_names(text)
    # The query itself, pasted into an English sentence, does not make it another language's.
    rest = text.replace(query, " ") if query in text and len(query) > 3 else text
    if language in ("ja", "zh") and (len(_SCRIPTS["kana"].findall(rest)) > 1) != (language == "ja"):
        return True
    own = len(own_letters.findall(rest))
    foreign = sum(
        [t.islower() and t not in query_words and t not in lexicon.PRODUCT_NAMES for t in _LATIN_WORD.findall(rest)]
    )
    units = own if "han" in _SCRIPTS_OF_LANGUAGE[language] else own / 4
    return own == 0 or units * 2 < foreign or len(_OTHER_SCRIPT.findall(rest)) > 3 * own


# Function words that English does not have.
NOT_ENGLISH = frozenset(word for word, codes in lexicon.LANGUAGES_OF_WORD.items() if "en" not in codes)


def plainly_in(sentence: str) -> str | None:
    """The Latin-script language that the function words of a sentence tell beyond doubt, quotations aside."""
    votes = _latin_votes(_QUOTED.sub(" ", sentence))
    best, most, runner_up = _leader(votes)
    return best if most >= 1.5 and runner_up < most / 2 else None


def has_word_of(language: str, query: str) -> bool:
    """Whether a query has a function word of a language."""
    return language in _latin_votes(query)


def _mostly_foreign_script(query: str, text: str) -> bool:
    """Whether more than 30% of the letters are not Latin, unless the query has them itself."""
    foreign = sum(scripts(text).values())
    if foreign <= 0.3 * (foreign + len(_LATIN.findall(text))):
        return False
    return not any(letter in query for letter in _OTHER_SCRIPT.findall(text))


def _only_names(text: str) -> bool:
    return all(
        token != token.lower() or not token.isalpha() or token in lexicon.PRODUCT_NAMES or token in lexicon.FIRST_NAMES
        for token in re.findall(r"[^\W_]+", text)
    )


def _other_latin_language(language: str | None, query: str, text: str, text_words: frozenset[str]) -> bool:
    if language is None:
        # Accents tell that an undecided query is not English.
        if query.isascii() or not _ACCENT.search(query):
            return False
    elif len(lexicon.STOP_WORDS[language] & text_words) > 3:
        return False
    # Neither a quotation nor the query itself tells the language of the sentence around it.
    votes = _latin_votes(_QUOTED.sub(" ", text).lower().replace(query.lower(), " "))
    best = max(votes, key=votes.get, default=language)
    if language is None:
        return best == "en" and votes["en"] >= 2
    return best != language and votes[best] >= 1.5 and votes.get(language, 0.0) < votes[best] / 2
