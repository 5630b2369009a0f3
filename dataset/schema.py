"""The one format of training data, and the one way to read it.

A line of `data/*.jsonl` is

    {"query": "auth config", "output": [["hyde", "..."], ["lex", "..."], ["vec", "..."]]}

Extra keys are allowed and ignored; `category`, `intent` and `is_short` are known. Everything else is an error that
names the file and the line. Queries for evaluation (`evals/queries.txt`) are read here too.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

import qmd


class SchemaError(ValueError):
    """What is wrong with a file of data; reads `path:line: what is wrong`."""

    def __init__(self, path: Path | str, line: int | None, problem: str) -> None:
        self.path, self.line, self.problem = Path(path), line, problem
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def check_text(text: object, what: str) -> str:
    """Return a query or the text of a line if it may stand in data, else raise ValueError saying why not."""
    if not isinstance(text, str):
        raise ValueError(f"{what} is no string: {_shown(text)}")
    if not text.strip():
        raise ValueError(f"{what} is empty")
    if found := _UNPRINTABLE.search(text):
        raise ValueError(f"{what} holds a line break, control character or lone surrogate (U+{ord(found.group()):04X})")
    if token := qmd.CHAT_TOKEN.search(text):
        raise ValueError(f"{what} holds the chat-template token {token.group()}")
    if text != text.strip() or text != qmd.trim(text):
        raise ValueError(f"{what} has a space at its beginning or end")
    return text


_Text = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]
_Flag = Annotated[bool | None, BeforeValidator(lambda value: value if isinstance(value, bool) else None)]


class TrainingExample(BaseModel):
    """A query and the lines that a model should answer it with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    query: str
    output: tuple[qmd.Line, ...]
    category: _Text = None
    intent: _Text = None
    is_short: _Flag = None

    @field_validator("query", mode="before")
    @classmethod
    def _check_query(cls, query: object) -> str:
        text = check_text(query, "query")
        if not qmd.split_mode(text)[0]:
            raise ValueError(f"query asks for nothing: {text}")
        return text

    @field_validator("output", mode="plain")
    @classmethod
    def _check_output(cls, output: object) -> tuple[qmd.Line, ...]:
        if not isinstance(output, list | tuple):
            raise ValueError(f"output is no list: {_shown(output)}")
        if not output:
            raise ValueError("output is empty")
        return tuple(_check_pair(pair, f"output[{position}]") for position, pair in enumerate(output))

    def render(self) -> str:
        """The text that a model should answer with."""
        return qmd.render(self.output)


def _check_pair(pair: object, where: str) -> qmd.Line:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{where} is no [type, text] pair: {_shown(pair)}")
    kind, text = pair
    if kind not in qmd.LINE_TYPES:
        raise ValueError(f"{where} has the unknown type {_shown(kind)}; lex, vec and hyde are known")
    return qmd.Line(kind, check_text(text, f"the text of {where}"))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {_shown(key)} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)


def _parse(raw: bytes) -> TrainingExample:
    """Read one line; raises ValueError with a message for people."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {error.start + 1} of the line") from None
    if not text.strip():
        raise ValueError("is empty")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at character {error.colno}") from None
    if not isinstance(value, dict):
        raise ValueError(f"is no JSON object: {_shown(value)}")
    try:
        return TrainingExample.model_validate(value)
    except ValidationError as invalid:
        error = invalid.errors()[0]
        if error["type"] == "missing":
            raise ValueError(f"the key {error['loc'][0]!r} is missing") from None
        raise ValueError(error["msg"].removeprefix("Value error, ")) from None


class Row(NamedTuple):
    """One line of a data file: its number, from 1, with the example or what is wrong with it."""

    line: int
    example: TrainingExample | None
    error: SchemaError | None


def read_rows(path: Path | str) -> Iterator[Row]:
    """Read a data file line by line; a bad line does not hide the next. Raises SchemaError if it can't be opened."""
    try:
        with Path(path).open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    yield Row(number, _parse(raw.removesuffix(b"\n")), None)
                except ValueError as error:
                    yield Row(number, None, SchemaError(path, number, str(error)))
                except RecursionError:
                    yield Row(number, None, SchemaError(path, number, "is nested too deeply"))
    except OSError as error:
        raise SchemaError(path, None, f"cannot be read: {error.strerror}") from None


def data_files(path: Path | str) -> list[Path]:
    """The data files that a path means: itself, or the `*.jsonl` of a folder, by name. SchemaError if there is none."""
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise SchemaError(path, None, "has no .jsonl file")
    return files


def load_examples(path: Path | str) -> list[TrainingExample]:
    """All examples of a file, or of the `*.jsonl` files of a folder. Raises SchemaError on the first bad line."""
    examples = []
    for file in data_files(path):
        for row in read_rows(file):
            if row.error:
                raise row.error
            examples.append(row.example)
    return examples


def normalize(query: str) -> str:
    """A query as it is compared: Unicode NFKC, case folded, spaces collapsed."""
    return " ".join(unicodedata.normalize("NFKC", query).casefold().split())


class EvalQuery(NamedTuple):
    """A query of an evaluation set, with the `# category` that it stands under."""

    text: str
    category: str


def load_queries(path: Path | str) -> list[EvalQuery]:
    """Read evaluation queries: one a line, under `# category` headers. Raises SchemaError on the first bad line."""
    queries: dict[str, EvalQuery] = {}
    category = ""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise SchemaError(path, None, f"cannot be read: {error.strerror}") from None
    for number, raw in enumerate(lines, 1):
        try:
            text = raw.decode("utf-8").strip()
            if text.startswith("# "):
                category = text[2:].strip()
            elif text:
                key = normalize(check_text(text, "query"))
                if key in queries:
                    raise ValueError(f"the query {text!r} stands twice")
                queries[key] = EvalQuery(text, category)
        except UnicodeDecodeError:
            raise SchemaError(path, number, "is not UTF-8") from None
        except ValueError as error:
            raise SchemaError(path, number, str(error)) from None
    return list(queries.values())
