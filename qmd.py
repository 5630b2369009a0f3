"""What QMD sends, accepts and does with a query expansion.

The one place in this project where these facts stand. They are read from QMD 2.8.3 (npm `@tobilu/qmd`,
`dist/llm.js` and `dist/store.js`) and node-llama-cpp 3.20.0; each definition names the function it follows.
Standard library only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

QMD_VERSION = "2.8.3"
NODE_LLAMA_CPP_VERSION = "3.20.0"

# --- What QMD sends ------------------------------------------------------------------------------------

# node-llama-cpp dist/config.js, defaultChatSystemPrompt: QMD sets no system prompt, so this one is inserted.
SYSTEM_PROMPT = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible.\n"
    "If a question does not make any sense, or is not factually coherent, explain why instead of answering "
    "something incorrectly. If you don't know the answer to a question, don't share false information."
)
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"


def user_prompt(query: str, *, no_think: bool = True) -> str:
    """The user turn, exactly (llm.js, LlamaCpp.expandQuery). A caller's intent is never part of it.

    QMD puts Qwen3's switch `/no_think` in front whatever the model; without it is never served, only trained on.
    """
    return f"{'/no_think ' if no_think else ''}Expand this search query: {query}"


_MODE = re.compile(r"\s*/only:(lex|vec|hyde)\s*$")


def split_mode(query: str) -> tuple[str, str | None]:
    """A query without the `/only:TYPE` at its end, and that type.

    The deployed model answers such a query with lines of that type alone. QMD itself knows nothing of it.
    """
    mode = _MODE.search(query)
    return (query[: mode.start()], mode.group(1)) if mode else (query, None)


_ASKED = re.compile(f"{user_prompt('', no_think=False)}(.*?)(?:{re.escape(TURN_END)}|\\Z)", re.DOTALL)


def query_of(prompt: str) -> str | None:
    """The query that a prompt made by `user_prompt` or `chatml_prompt` asks about; None if it is no such prompt."""
    asked = _ASKED.search(prompt)
    return asked.group(1) if asked else None


def messages(query: str, *, system: bool = True, no_think: bool = True) -> list[dict[str, str]]:
    """The chat that asks for an expansion of `query`.

    With `system`, the prompt that QMD serves; without it, the plain one of Ollama and llama.cpp. `no_think`: see
    `user_prompt`.
    """
    served_turn = [{"role": "system", "content": SYSTEM_PROMPT}] if system else []
    return [*served_turn, {"role": "user", "content": user_prompt(query, no_think=no_think)}]


def chatml_prompt(query: str, *, system: bool = True, no_think: bool = True) -> str:
    """`messages` as ChatML text, up to and with the opened assistant turn.

    Qwen3, SmolLM2 and LFM2 all speak it. No `<think>` block is opened: node-llama-cpp's QwenChatWrapper opens
    none either. Tokenise this text without adding special tokens, and see `bos_first`.
    """
    chat = messages(query, system=system, no_think=no_think)
    turns = [f"{TURN_START}{m['role']}\n{m['content']}{TURN_END}\n" for m in chat]
    return "".join(turns) + f"{TURN_START}assistant\n"


def bos_first(architecture: str) -> bool:
    """Whether QMD sets the model's BOS token before `chatml_prompt`; `architecture` is a GGUF's `general.architecture`.

    node-llama-cpp's ChatMLChatWrapper does, whatever the file's `add_bos_token` says, so that SmolLM2, whose BOS is
    `<|im_start|>`, reads that token twice. Its QwenChatWrapper, which it takes for Qwen's architectures, does not.
    """
    return not architecture.startswith("qwen")


# What a chat template or a tokenizer of these models reads as its own: never part of a query or of an expansion.
CHAT_TOKEN = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>|<\|[a-z_]{3,40}$|</?(?:think|tool_call|tool_response|repo_name|reponame|file_sep|filename|gh_stars|"
    r"issue_start|issue_comment|issue_closed|jupyter_start|jupyter_text|jupyter_code|jupyter_output|jupyter_script|"
    r"empty_output|start_of_turn|end_of_turn|s|bos|eos|pad|unk)>|\[/?INST\]|<</?SYS>>",
    re.MULTILINE,
)

# --- How QMD decodes -----------------------------------------------------------------------------------

# llm.js, LlamaCpp.expandQuery: stopping is legal only after a newline, and the number of lines is not capped.
GRAMMAR = r"""
root ::= line+
line ::= type ": " content "\n"
type ::= "lex" | "vec" | "hyde"
content ::= [^\n]+
"""


@dataclass(frozen=True)
class Sampling:
    """QMD's decoding settings (llm.js, LlamaCpp.expandQuery).

    QMD also asks for a presence penalty, but node-llama-cpp builds no penalty sampler unless the repeat penalty
    differs from 1, so it has no effect and is not repeated here. The seed comes from the clock.
    """

    max_tokens: int = 600
    temperature: float = 0.7
    top_k: int = 20
    top_p: float = 0.8


SAMPLING = Sampling()
CONTEXT_SIZE = 2048  # tokens; llm.js, resolveExpandContextSize

# --- The lines -----------------------------------------------------------------------------------------

LINE_TYPES = ("hyde", "lex", "vec")  # in the order in which an expansion is rendered


class Line(NamedTuple):
    """One typed line of an expansion; `type` is one of LINE_TYPES."""

    type: str
    text: str

    def __str__(self) -> str:
        return f"{self.type}: {self.text}"


# JavaScript's \s; Python's differs (it has U+001C-U+001F and U+0085 and lacks U+FEFF).
JS_SPACE = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f"
    "\u3000\ufeff"
)
_SPACES = re.compile(f"[{JS_SPACE}]+")


def trim(text: str) -> str:
    """A text without the space around it, as JavaScript trims it."""
    return text.strip(JS_SPACE)


def read_line(raw: str) -> Line | None:
    """A raw line as QMD reads it: the type up to the first colon and the text, both trimmed; None without a type."""
    kind, colon, text = raw.partition(":")
    if kind not in LINE_TYPES:
        kind = trim(kind)
    return Line(kind, trim(text)) if colon and kind in LINE_TYPES else None


def parse(text: str) -> tuple[list[Line], list[str]]:
    """Split a model's output into its typed lines, in order, and the raw lines that are none (blank ones aside).

    A typed line without text counts as none: the grammar forbids it.
    """
    lines, other = [], []
    for raw in text.split("\n"):
        line = read_line(raw)
        if line and line.text:
            lines.append(line)
        elif raw.strip():
            other.append(raw)
    return lines, other


def render(lines: Iterable[tuple[str, str]]) -> str:
    """The text of an expansion: hyde, then lex, then vec, each line ended by a newline, the last one too.

    Without that last newline a model learns to stop where QMD's grammar forbids it, and runs on.
    Lines of one type keep their order. Raises ValueError on a type that QMD does not know.
    """
    given = [Line(*line) for line in lines]
    if unknown := [line.type for line in given if line.type not in LINE_TYPES]:
        raise ValueError(f"unknown line type {unknown[0]!r}; {', '.join(LINE_TYPES)} are known")
    return "".join(f"{line}\n" for kind in LINE_TYPES for line in given if line.type == kind)


# --- What QMD throws away ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    """What is left of an output when QMD has read it.

    `kept` goes to search. `dropped` pairs each raw line that QMD discards with the reason. `duplicates` are lines
    of `kept` that repeat an earlier one (QMD searches them again). With `fallback` no line survived the filter and
    `kept` is what QMD searches instead.
    """

    kept: tuple[Line, ...]
    dropped: tuple[tuple[str, str], ...]
    duplicates: tuple[Line, ...]
    fallback: bool


@lru_cache(maxsize=4096)
def query_terms(query: str) -> tuple[str, ...]:
    """The terms of which a line must hold one: llm.js, LlamaCpp.expandQuery. Empty for a query without a-z and 0-9."""
    return tuple(re.findall("[a-z0-9]+", query.lower()))


def drop_reason(query: str, line: Line) -> str | None:
    """Why QMD drops a typed line, or None if it keeps it.

    The first rule is that of store.js, expandQuery; the second, any query term as a substring, LlamaCpp.expandQuery's.
    """
    if line.text == query:
        return "is the query itself"
    terms = query_terms(query)
    lowered = line.text.lower()
    for term in terms:
        if term in lowered:
            return None
    return "holds no word of the query" if terms else None


def served(query: str, text: str) -> Served:
    """Follow an output through QMD's filters (llm.js, LlamaCpp.expandQuery, then store.js, expandQuery)."""
    kept: list[Line] = []
    dropped: list[tuple[str, str]] = []
    survived_first_filter = False
    for raw in trim(text).split("\n"):
        line = read_line(raw)
        if line is None:
            if raw.strip():
                dropped.append((raw, "is no hyde, lex or vec line"))
            continue
        reason = drop_reason(query, line)
        # The fallback hangs on the first filter alone: a line that equals the query counts as surviving there.
        survived_first_filter = survived_first_filter or reason is None or line.text == query
        if reason:
            dropped.append((raw, reason))
        else:
            kept.append(line)
    if not survived_first_filter:
        # The raw query as lex and vec belongs to the fallback too, and is then dropped for being the query itself.
        kept = [Line("hyde", f"Information about {query}")]
    duplicates = tuple(line for i, line in enumerate(kept) if line in kept[:i])
    return Served(tuple(kept), tuple(dropped), duplicates, not survived_first_filter)


# --- How QMD searches: FTS5 ----------------------------------------------------------------------------

# store.js, DOCUMENTS_FTS_DDL; every column is stored through `index_text`.
FTS_TABLE = "CREATE VIRTUAL TABLE documents_fts USING fts5(filepath, title, body, tokenize='porter unicode61')"
FTS_RANK = "bm25(documents_fts, 1.5, 4.0, 1.0)"  # store.js, searchFTS: path, title, body; lower is better
RESULTS_PER_LIST = 20  # store.js, hybridQuery
# Folders that are not indexed, nor is anything hidden, nor an empty file (store.js, reindexCollection).
EXCLUDED_FOLDERS = ("node_modules", ".git", ".cache", "vendor", "dist", "build")

# Unicode 16 code points with Script = Han, Hiragana, Katakana or Hangul, as JavaScript's \p{Script=...} has them.
_CJK = (
    "\u1100-\u11ff\u2e80-\u2e99\u2e9b-\u2ef3\u2f00-\u2fd5\u3005\u3007\u3021-\u3029\u302e\u302f\u3038-\u303b"
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u3131-\u318e\u31f0-\u31ff\u3200-\u321e\u3260-\u327e"
    "\u32d0-\u32fe\u3300-\u3357\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7c6\ud7cb-\ud7fb"
    "\uf900-\ufa6d\ufa70-\ufad9\uff66-\uff6f\uff71-\uff9d\uffa0-\uffbe\uffc2-\uffc7\uffca-\uffcf\uffd2-\uffd7"
    "\uffda-\uffdc\U00016fe2\U00016fe3\U00016ff0-\U00016ff6\U0001aff0-\U0001aff3\U0001aff5-\U0001affb"
    "\U0001affd\U0001affe\U0001b000-\U0001b122\U0001b132\U0001b150-\U0001b152\U0001b155\U0001b164-\U0001b167"
    "\U0001f200\U00020000-\U0002a6df\U0002a700-\U0002b81d\U0002b820-\U0002cead\U0002ceb0-\U0002ebe0"
    "\U0002ebf0-\U0002ee5d\U0002f800-\U0002fa1d\U00030000-\U0003134a\U00031350-\U00033479"
)
_CJK_RUN = re.compile(f"[{_CJK}]+")
# Python's \w is exactly JavaScript's [\p{L}\p{N}_].
_NOT_TERM = re.compile(r"[^\w']")
_HYPHENATED = re.compile(r"[^\W_](?:[^\W_]|['-])*")  # and a hyphen before a letter or digit
_HYPHEN = re.compile(r"-[^\W_]")
_DOTTED = re.compile(r"\w+(?:\.\w+)+")
# A term of a lex line: an optional minus, then a quoted phrase (its closing quote may be missing) or a bare token.
_LEX_TOKEN = re.compile(f'(-?)(?:"([^"]*)"?|([^"{JS_SPACE}]+))')


def index_text(text: str) -> str:
    """A text as QMD stores it in FTS5: Chinese, Japanese and Korean runs a character a token (normalizeCjkForFTS)."""
    return _CJK_RUN.sub(lambda run: f" {' '.join(run.group())} ", text)


def _term(text: str) -> str:
    return _NOT_TERM.sub("", text).lower()


def _phrase(text: str) -> str:
    """store.js, sanitizeFTS5Phrase: dotted tokens fall into their parts, CJK runs into characters."""
    words: list[str] = []
    for token in _SPACES.split(index_text(text)):
        words += token.split(".") if _DOTTED.fullmatch(token) else [token]
    return " ".join(filter(None, map(_term, words)))


def _bare(token: str) -> tuple[str, ...]:
    """The FTS5 strings, to be ANDed, of a token outside quotes."""
    if _HYPHEN.search(token) and _HYPHENATED.fullmatch(token):
        phrase = " ".join(filter(None, map(_term, token.split("-"))))
        return (f'"{phrase}"',) if phrase else ()
    if _DOTTED.fullmatch(token):
        return tuple(f'"{part}"*' for part in map(_term, token.split(".")) if part)
    if _CJK_RUN.search(token):
        phrase = _phrase(token)
        return (f'"{phrase}"',) if phrase else ()
    term = _term(token)
    return (f'"{term}"*',) if term else ()


class LexTerm(NamedTuple):
    """One term of a lex line, as QMD reads it.

    text: without minus and quotes; match: the FTS5 strings to AND for it; dead: it matches no text at all, not even one
    that it was copied from. The last happens because buildFTS5Query deletes the punctuation inside a token, where the
    index splits at it: "1:1" is searched as "11", "send/recv" as "sendrecv", and Devanagari words lose their vowel
    signs. A phrase ("send recv") finds such text.
    """

    text: str
    match: tuple[str, ...]
    negated: bool
    phrase: bool
    dead: bool


_FTS_TOKEN = re.compile(r"[^\W_]+")
_DIACRITIC = re.compile("[\u0300-\u036f]")


def fts_tokens(text: str) -> list[str]:
    """The tokens that FTS5's unicode61 makes of a text, before stemming and the removal of accents."""
    return _FTS_TOKEN.findall(_DIACRITIC.sub("", text.lower()))


def _is_dead(text: str, match: tuple[str, ...]) -> bool:
    if text.isalnum():
        return False
    indexed = fts_tokens(index_text(text))
    searched = [fts_tokens(part) for part in match]
    return any(all(indexed[i : i + len(s)] != s for i in range(len(indexed))) for s in searched)


@lru_cache(maxsize=65536)
def _lex_term(text: str, negated: bool, phrase: bool) -> LexTerm | None:
    if phrase:
        words = _phrase(trim(text))
        match = (f'"{words}"',) if words else ()
    else:
        match = _bare(text)
    return LexTerm(text, match, negated, phrase, _is_dead(text, match)) if match else None


def lex_terms(lex_line: str) -> list[LexTerm]:
    """Read a lex line (store.js, buildFTS5Query); terms of which FTS5 sees nothing are left out.

    A word is a prefix match (`"term"*`); a quoted phrase, a hyphenated token and a CJK run are exact phrases; a
    dotted token has its parts ANDed; a leading minus excludes.
    """
    found = _LEX_TOKEN.findall(lex_line)
    terms = [_lex_term(phrase or token, minus != "", phrase != "") for minus, phrase, token in found if phrase or token]
    return [term for term in terms if term]


def fts_query(lex_line: str) -> str | None:
    """The FTS5 MATCH expression that QMD builds from a lex line; None if no positive term is left."""
    terms = lex_terms(lex_line)
    positive = [part for term in terms if not term.negated for part in term.match]
    if not positive:
        return None
    negative = [
        term.match[0] if len(term.match) == 1 else f"({' AND '.join(term.match)})" for term in terms if term.negated
    ]
    return " NOT ".join([" AND ".join(positive), *negative])


def unmatched_quote(lex_line: str) -> bool:
    """Whether a lex line has an odd number of double quotes (store.js, validateLexQuery calls it invalid)."""
    return lex_line.count('"') % 2 == 1


_NEGATION = re.compile(f'(?:^|[{JS_SPACE}])-[A-Za-z0-9_"]')


def has_negation(text: str) -> bool:
    """Whether a vec or hyde text uses lex's negation, an error there (store.js, validateSemanticQuery)."""
    return _NEGATION.search(text) is not None
