"""The one data format: what it takes, what it refuses, and how it says so."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qmd
from dataset.schema import SchemaError, load_examples, load_queries, normalize, read_rows

GOOD = '{"query": "auth config", "output": [["hyde", "h"], ["lex", "auth"], ["vec", "v"]]}'


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "examples.jsonl"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return path


def test_reads_an_example(tmp_path: Path) -> None:
    (example,) = load_examples(write(tmp_path, GOOD))
    assert example.query == "auth config"
    assert example.output == (("hyde", "h"), ("lex", "auth"), ("vec", "v"))
    assert example.render() == "hyde: h\nlex: auth\nvec: v\n"


def test_extra_keys_are_ignored_and_three_are_known(tmp_path: Path) -> None:
    extra = '{"query": "q", "output": [["lex", "q x"]], "category": "c", "intent": "i", "is_short": true, "x": [1]}'
    (example,) = load_examples(write(tmp_path, extra))
    assert (example.category, example.intent, example.is_short) == ("c", "i", True)
    assert not hasattr(example, "x")


def test_odd_values_of_ignored_keys_do_no_harm(tmp_path: Path) -> None:
    odd = '{"query": "q", "output": [["lex", "q x"]], "category": 5, "intent": null, "is_short": "yes"}'
    (example,) = load_examples(write(tmp_path, odd))
    assert (example.category, example.intent, example.is_short) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"query": "q", "output"', "no JSON"),
        ("", "empty"),
        ("[1]", "no JSON object"),
        ('"q"', "no JSON object"),
        ("{'query': 'q'}", "no JSON"),
        (b'{"query": "\xff", "output": [["lex", "x"]]}', "UTF-8"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "no JSON"),
        ('{"output": [["lex", "x"]]}', "'query' is missing"),
        ('{"query": "q"}', "'output' is missing"),
        ('{"query": 5, "output": [["lex", "x"]]}', "query is no string"),
        ('{"query": "", "output": [["lex", "x"]]}', "query is empty"),
        ('{"query": " \\t", "output": [["lex", "x"]]}', "query is empty"),
        ('{"query": " q", "output": [["lex", "x"]]}', "space at its beginning or end"),
        ('{"query": "q", "output": [["lex", "\\ufeffx"]]}', "space at its beginning or end"),
        ('{"query": "a\\nb", "output": [["lex", "x"]]}', "U+000A"),
        ('{"query": "a\\u0007b", "output": [["lex", "x"]]}', "U+0007"),
        ('{"query": "a\\u2028b", "output": [["lex", "x"]]}', "U+2028"),
        ('{"query": "a\\u0085b", "output": [["lex", "x"]]}', "U+0085"),
        ('{"query": "\\ud800", "output": [["lex", "x"]]}', "U+D800"),
        ('{"query": "a <|im_start|>", "output": [["lex", "x"]]}', "chat-template token <|im_start|>"),
        ('{"query": "<think>", "output": [["lex", "x"]]}', "chat-template token <think>"),
        ('{"query": "q", "output": []}', "output is empty"),
        ('{"query": "q", "output": "lex: x"}', "output is no list"),
        ('{"query": "q", "output": {"lex": "x"}}', "output is no list"),
        ('{"query": "q", "output": ["lex", "x"]}', "output[0] is no [type, text] pair"),
        ('{"query": "q", "output": [["lex", "x", "y"]]}', "output[0] is no [type, text] pair"),
        ('{"query": "q", "output": [["lex", "x"], ["keyword", "y"]]}', "output[1] has the unknown type 'keyword'"),
        ('{"query": "q", "output": [[["lex"], "y"]]}', "output[0] has the unknown type"),
        ('{"query": "q", "output": [["lex", null]]}', "the text of output[0] is no string"),
        ('{"query": "q", "output": [["lex", ""]]}', "the text of output[0] is empty"),
        ('{"query": "q", "output": [["hyde", "a\\r\\nb"]]}', "U+000D"),
        ('{"query": "q", "output": [["hyde", "</think>"]]}', "chat-template token </think>"),
        ('{"query": "q", "query": "r", "output": [["lex", "x"]]}', "'query' stands twice"),
        ('{"query": "q", "output": [["lex", "x"]], "extra": {"a": 1, "a": 2}}', "'a' stands twice"),
        ('{"query": "q", "output": [["lex", "x"]], "extra": NaN}', "NaN is no JSON"),
    ],
)
def test_refuses(tmp_path: Path, line: str | bytes, says: str) -> None:
    path = write(tmp_path, GOOD, line, GOOD)
    with pytest.raises(SchemaError) as caught:
        load_examples(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [bool(row.error) for row in read_rows(path)] == [False, True, False], "a bad line hides no other"


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(SchemaError, match=str(path)):
            load_examples(path)
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    (folder / "x.txt").write_text("x")
    with pytest.raises(SchemaError, match=r"no \.jsonl file"):
        load_examples(folder)


def test_reads_the_files_of_a_folder_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text(GOOD.replace("auth config", name) + "\n")
    assert [example.query for example in load_examples(tmp_path)] == ["a", "b"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(qmd.LINE_TYPES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["query", "output", "x"]), inner),
    max_leaves=8,
)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            json_values.map(lambda value: json.dumps(value).encode()),
            st.just(GOOD.encode()),
            st.sampled_from([b"[" * 100_000, b'{"query":' * 50_000, b"1" * 10_000, b'{"query": ' + b"9" * 5000 + b"}"]),
        ),
        max_size=5,
    )
)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_whatever_a_file_holds_the_answer_is_examples_or_a_schema_error(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(b"\n".join(lines))
    rows = list(read_rows(path))
    try:
        examples = load_examples(path)
    except SchemaError as error:
        first = next(row for row in rows if row.error)
        assert str(error) == str(first.error)
        assert error.line == first.line
    else:
        assert examples == [row.example for row in rows]
    for row in rows:
        if row.example:
            parsed, other = qmd.parse(row.example.render())
            assert other == []
            assert sorted(parsed) == sorted(row.example.output), "what the schema takes survives rendering"


@pytest.mark.parametrize(
    ("a", "b"),
    [("Auth  Config", "auth config"), ("ＡＢＣ", "abc"), ("straße", "STRASSE"), ("e\u0301", "é")],
)
def test_normalize(a: str, b: str) -> None:
    assert normalize(a) == normalize(b)


def test_queries_have_categories(tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    path.write_text("# one\na b\n\n# two\n#hashtag search\nc /only:lex\n")
    assert load_queries(path) == [("a b", "one"), ("#hashtag search", "two"), ("c /only:lex", "two")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a\nA\n", ":2: the query 'A' stands twice"),
        (b"a\n\xff\n", ":2: is not UTF-8"),
        (b"<think>\n", ":1: query holds"),
    ],
)
def test_bad_queries_are_named(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "queries.txt"
    path.write_bytes(text)
    with pytest.raises(SchemaError) as caught:
        load_queries(path)
    assert f"{path}{says}" in str(caught.value)


def test_missing_queries(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="cannot be read"):
        load_queries(tmp_path / "none.txt")
