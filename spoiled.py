"""Expansions made worse on purpose, each in one known way: a score has to see it, and search says what it costs."""

from collections.abc import Callable

import language
import qmd
from baselines import TEMPLATE_HYDE, rarest_words
from lexicon import STOP_WORDS
from reward import extract_named_entities

# Sentences about {topic} for whoever asked in another language: German, and Spanish where the query is German.
_FOREIGN = {
    "de": (
        ("hyde", "En esta página se explica qué significa {topic} y por qué es así desde el principio."),
        ("lex", "{topic} significado"),
        ("lex", "{topic} explicación"),
        ("vec", "dónde se explica qué significa {topic}"),
    ),
    None: (
        ("hyde", "Auf dieser Seite steht, was {topic} bedeutet und warum das von Anfang an so gewesen ist."),
        ("lex", "{topic} Bedeutung"),
        ("lex", "{topic} Erklärung"),
        ("vec", "wo steht eine Erklärung dafür, was {topic} bedeutet"),
    ),
}
_ADDED_TERMS = 2


def _changed(text: str, change: Callable[[qmd.Line], str]) -> str:
    """The expansion with each line's text changed; a line of which nothing is left falls away."""
    lines, _ = qmd.parse(text)
    changed = [(line.type, change(line).strip()) for line in lines]
    return qmd.render((kind, said) for kind, said in changed if said)


def _topic(query: str) -> str:
    return " ".join(extract_named_entities(query) or rarest_words(query, 1))


def _rarest_held(query: str, text: str) -> str:
    """The rarest word of a query that its expansion holds at all; empty where it holds none."""
    held = language.stems(language.words(text))
    for count in range(1, len(language.words(query)) + 1):
        for word in rarest_words(query, count):
            if language.stem(word) in held:
                return word
    return ""


def names_lost(query: str, text: str) -> str:
    """The query's names, or its rarest word that the expansion holds where it has none, are gone from every line."""
    topic = " ".join(extract_named_entities(query)) or _rarest_held(query, text)
    lost = language.stems(language.words(topic))

    def without(line: qmd.Line) -> str:
        kept = " ".join(token for token in line.text.split() if not lost & language.stems(language.words(token)))
        return kept if kept.count('"') % 2 == 0 else kept.replace('"', "")

    return _changed(text, without)


def terms_added(query: str, text: str) -> str:
    """Each lex line has two more terms: the first words of the vec lines, where there are any, that it does not hold.

    English stop words are left out.
    """
    lines, _ = qmd.parse(text)
    stop = STOP_WORDS["en"]
    said = [word for line in lines if line.type == "vec" for word in language.words(line.text) if word not in stop]

    def longer(line: qmd.Line) -> str:
        own = set(language.words(line.text))
        more = [word for word in dict.fromkeys(said) if word not in own][:_ADDED_TERMS]
        return " ".join([line.text, *more]) if line.type == "lex" else line.text

    return _changed(text, longer)


def filler_added(query: str, text: str) -> str:
    """Lex lines end in "guide", vec lines begin with "complete guide to"."""
    return _changed(
        text,
        lambda line: {"lex": f"{line.text} guide", "vec": f"complete guide to {line.text}"}.get(line.type, line.text),
    )


def boilerplate_hyde(query: str, text: str) -> str:
    """The hyde speaks about a text in place of being one."""
    lines, _ = qmd.parse(text)
    others = [line for line in lines if line.type != "hyde"]
    return qmd.render([("hyde", TEMPLATE_HYDE.format(query=query)), *others])


def other_language(query: str, text: str) -> str:
    """Sentences of another language about the query's names."""
    code = language.query_language(query)
    frames = _FOREIGN.get(code, _FOREIGN[None])
    return qmd.render((kind, frame.format(topic=_topic(query))) for kind, frame in frames)


SPOILERS: dict[str, Callable[[str, str], str]] = {
    "names lost": names_lost,
    "terms added": terms_added,
    "filler added": filler_added,
    "boilerplate hyde": boilerplate_hyde,
    "other language": other_language,
}
