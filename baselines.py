"""Expanders without a model, to compare with. Nothing in them is tuned on a collection."""

from collections.abc import Callable
from itertools import combinations

import language
import qmd

RAREST = 4  # words of the query that are paired

# What the usual rubric of this field rewards, and QMD's contract (section 5) measured as harmful.
TEMPLATE_HYDE = "This comprehensive guide covers everything you need to know about {query}."
_TEMPLATE = (
    ("hyde", TEMPLATE_HYDE),
    ("lex", "{query} tutorial guide"),
    ("lex", "{query} best practices"),
    ("vec", "how to {query} step by step"),
    ("vec", "complete guide to {query}"),
)


def original(query: str) -> str:
    """No expansion."""
    return ""


def template(query: str) -> str:
    """The query with filler around it."""
    return qmd.render((kind, text.format(query=query)) for kind, text in _TEMPLATE)


def rarest_words(query: str, count: int) -> list[str]:
    """The `count` rarest words of a query, in its order; `/only:TYPE` is none of them.

    Rarity is wordfreq's frequency in the query's language: nothing is learnt from a collection. Words of languages that
    are written without spaces are those of `language.words`, characters and katakana runs among them; they count as
    the rarest, since wordfreq needs a tokeniser of its own for them, and Latin words beside them as English ones.
    """
    from wordfreq import available_languages, zipf_frequency

    code = language.query_language(query)
    code = code if code in available_languages() and code not in ("zh", "ja", "ko") else "en"

    def frequency(word: str) -> float:
        return 0.0 if language.IS_CJK.search(word) else zipf_frequency(word, code)

    words = list(dict.fromkeys(language.words(qmd.split_mode(query)[0])))
    rarest = set(sorted(words, key=frequency)[:count])
    return [word for word in words if word in rarest]


def rare_pairs(query: str) -> str:
    """A lex line for each pair of the query's four rarest words."""
    return qmd.render(("lex", f"{one} {two}") for one, two in combinations(rarest_words(query, RAREST), 2))


BASELINES: dict[str, Callable[[str], str]] = {
    "original": original,
    "rare-pairs": rare_pairs,
    "template": template,
}
