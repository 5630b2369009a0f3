"""The contract with QMD, against QMD's own source and SQLite's own FTS5."""

import json
import re
import sqlite3
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qmd
import qmd_search
from qmd import Line

# --- What QMD sends and how it decodes -----------------------------------------------------------------


def test_versions_are_those_the_contract_was_read_from(qmd_version: str, node_llama_cpp_source: Path) -> None:
    package = json.loads((node_llama_cpp_source.parent / "package.json").read_text(encoding="utf-8"))
    assert (qmd_version, package["version"]) == (qmd.QMD_VERSION, qmd.NODE_LLAMA_CPP_VERSION)


def test_system_prompt_is_node_llama_cpps(node_llama_cpp_source: Path) -> None:
    config = (node_llama_cpp_source / "config.js").read_text(encoding="utf-8")
    declared = re.search(r"defaultChatSystemPrompt = (.*?);\n", config, re.DOTALL).group(1)
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', declared)
    assert "".join(json.loads(f'"{part}"') for part in parts) == qmd.SYSTEM_PROMPT


def test_prompt_grammar_and_sampling_are_qmds(qmd_source: Path) -> None:
    source = (qmd_source / "llm.js").read_text(encoding="utf-8")
    body = source[source.index("async expandQuery(query, options = {}) {") :][:4000]
    template = re.search(r"const prompt = `(.*?)`;", body).group(1)
    assert template.replace("${query}", "auth config") == qmd.user_prompt("auth config")
    grammar = re.search(r"grammar: `(.*?)`", body, re.DOTALL).group(1).replace(r"\\", "\\")
    assert grammar.split() == qmd.GRAMMAR.split()
    for setting, value in (
        ("maxTokens", qmd.SAMPLING.max_tokens),
        ("temperature", qmd.SAMPLING.temperature),
        ("topK", qmd.SAMPLING.top_k),
        ("topP", qmd.SAMPLING.top_p),
    ):
        assert f"{setting}: {value}," in body
    assert f"DEFAULT_EXPAND_CONTEXT_SIZE = {qmd.CONTEXT_SIZE};" in source


@pytest.mark.parametrize("tokenizer", ["qwen3_tokenizer", "smollm2_tokenizer"])
def test_prompt_is_what_the_models_own_template_makes(tokenizer: str, request: pytest.FixtureRequest) -> None:
    real = request.getfixturevalue(tokenizer)
    served = real.apply_chat_template(qmd.messages("auth config"), tokenize=False, add_generation_prompt=True)
    assert served == qmd.chatml_prompt("auth config")
    ids = real(qmd.chatml_prompt("auth config"), add_special_tokens=False).input_ids
    assert ids == real.apply_chat_template(qmd.messages("auth config"), add_generation_prompt=True)["input_ids"]


def test_plain_prompt_is_qwen3s_own(qwen3_tokenizer) -> None:
    # SmolLM2's template puts a system turn of its own where there is none; "plain" means no system turn at all.
    plain = qwen3_tokenizer.apply_chat_template(
        qmd.messages("auth config", system=False), tokenize=False, add_generation_prompt=True
    )
    assert plain == qmd.chatml_prompt("auth config", system=False)
    assert "system" not in plain


@pytest.mark.parametrize("tokenizer", ["qwen3_tokenizer", "smollm2_tokenizer"])
def test_every_token_of_a_chat_template_is_known(tokenizer: str, request: pytest.FixtureRequest) -> None:
    real = request.getfixturevalue(tokenizer)
    special = [str(token) for token in real.added_tokens_decoder.values()]
    assert len(special) > 10
    assert [token for token in special if not qmd.CHAT_TOKEN.fullmatch(token)] == []


def test_ordinary_text_has_no_chat_token() -> None:
    for text in ("a < b | c > d", "<div>", "vector<int>", "x |> y", "[INSTALL]", "if a<|b", "List<String>"):
        assert not qmd.CHAT_TOKEN.search(text), text


@given(st.text(), st.booleans(), st.booleans())
def test_query_comes_back_out_of_its_prompt(query: str, system: bool, no_think: bool) -> None:
    if qmd.TURN_END not in query:
        assert qmd.query_of(qmd.chatml_prompt(query, system=system, no_think=no_think)) == query
        assert qmd.query_of(qmd.user_prompt(query, no_think=no_think)) == query


def test_other_prompts_ask_no_query() -> None:
    assert qmd.query_of("Expand this: x") is None


@pytest.mark.parametrize(
    ("query", "base", "mode"),
    [
        ("auth config /only:lex", "auth config", "lex"),
        ("auth config  /only:hyde ", "auth config", "hyde"),
        ("auth config /only:keywords", "auth config /only:keywords", None),
        ("what does /only:lex mean", "what does /only:lex mean", None),
        ("/only:vec", "", "vec"),
    ],
)
def test_split_mode(query: str, base: str, mode: str | None) -> None:
    assert qmd.split_mode(query) == (base, mode)


# --- Lines ---------------------------------------------------------------------------------------------

one_line = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1).filter(
    lambda text: text == text.strip(qmd.JS_SPACE)
)


@given(st.lists(st.tuples(st.sampled_from(qmd.LINE_TYPES), one_line), max_size=8))
def test_parse_reads_what_render_wrote(lines: list[tuple[str, str]]) -> None:
    text = qmd.render(lines)
    assert text == "" or text.endswith("\n")
    parsed, other = qmd.parse(text)
    assert other == []
    assert parsed == sorted(parsed, key=lambda line: qmd.LINE_TYPES.index(line.type))
    assert sorted(parsed) == sorted(Line(*line) for line in lines)


def test_parse_tells_lines_from_other_text() -> None:
    text = "hyde: A: b\nlex:x\n vec : y \n\nLEX: no\nkeyword: no\nprose\nlex:\n"
    lines, other = qmd.parse(text)
    assert lines == [Line("hyde", "A: b"), Line("lex", "x"), Line("vec", "y")]
    assert other == ["LEX: no", "keyword: no", "prose", "lex:"]


def test_render_refuses_unknown_types() -> None:
    with pytest.raises(ValueError, match="keyword"):
        qmd.render([("keyword", "x")])


@pytest.mark.parametrize(
    ("why", "query", "text", "kept", "dropped"),
    [
        ("a word of the query", "heart attack", "lex: heart pain\n", ["lex: heart pain"], []),
        ("a substring is enough", "art", "lex: heart pain\n", ["lex: heart pain"], []),
        ("case does not matter", "NASA budget", "lex: nasa\n", ["lex: nasa"], []),
        ("no word of the query", "heart attack", "lex: heart\nlex: myocardial\n", ["lex: heart"], ["lex: myocardial"]),
        ("punctuation splits terms", "node.js", "lex: nodejs x\nlex: esm\n", ["lex: nodejs x"], ["lex: esm"]),
        ("accents split terms too", "größe", "lex: gr\nlex: zahl\n", ["lex: gr"], ["lex: zahl"]),
        ("no a-z0-9 in the query", "数据库", "lex: 备份\nvec: anything\n", ["lex: 备份", "vec: anything"], []),
        ("Latin words of a mixed query count", "Redis 缓存", "lex: 缓存\nlex: redis\n", ["lex: redis"], ["lex: 缓存"]),
        ("the query itself", "auth", "lex: auth\nvec: auth flow\n", ["vec: auth flow"], ["lex: auth"]),
        ("equal but for case is kept", "auth", "lex: Auth\n", ["lex: Auth"], []),
        ("no type", "auth", "prose about auth\nlex: auth x\n", ["lex: auth x"], ["prose about auth"]),
        ("unknown type", "auth", "keyword: auth\nlex: auth x\n", ["lex: auth x"], ["keyword: auth"]),
        ("no space behind the colon", "auth", "lex:auth x\n", ["lex: auth x"], []),
    ],
)
def test_served_keeps_and_drops(why: str, query: str, text: str, kept: list[str], dropped: list[str]) -> None:
    served = qmd.served(query, text)
    assert [str(line) for line in served.kept] == kept, why
    assert [raw for raw, _ in served.dropped] == dropped, why
    assert all(reason for _, reason in served.dropped)
    assert not served.fallback


def test_served_falls_back_when_nothing_survives() -> None:
    served = qmd.served("heart attack", "lex: myocardial infarction\n")
    assert served.fallback
    assert served.kept == (Line("hyde", "Information about heart attack"),)


def test_a_line_that_is_the_query_prevents_the_fallback() -> None:
    served = qmd.served("auth", "lex: auth\n")
    assert not served.fallback
    assert served.kept == ()


def test_served_reports_duplicates_and_keeps_them() -> None:
    served = qmd.served("auth", "lex: auth x\nlex: auth x\nvec: auth x\n")
    assert len(served.kept) == 3
    assert served.duplicates == (Line("lex", "auth x"),)


# --- The lex query -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "line", "expected"),
    [
        ("terms are ANDed prefixes", "performance tuning", '"performance"* AND "tuning"*'),
        ("stop words stay", "cost of living", '"cost"* AND "of"* AND "living"*'),
        ("a phrase is exact", '"machine learning"', '"machine learning"'),
        ("negation", "performance -sports", '"performance"* NOT "sports"*'),
        ("negated phrase", 'java -"coffee bean"', '"java"* NOT "coffee bean"'),
        ("only negation", "-sports", None),
        ("a hyphenated token is a phrase", "multi-agent memory", '"multi agent" AND "memory"*'),
        ("so is a model name", "gpt-4", '"gpt 4"'),
        ("a negated hyphenated token", "x -multi-agent", '"x"* NOT "multi agent"'),
        ("a dotted token has its parts ANDed", "3.14.0", '"3"* AND "14"* AND "0"*'),
        ("also negated", "x -3.14", '"x"* NOT ("3"* AND "14"*)'),
        ("apostrophes stay", "don't", '"don\'t"*'),
        ("Chinese runs are phrases", "北京 天气预报", '"北 京" AND "天 气 预 报"'),
        ("katakana with its long mark", "サーバー", '"サ ー バ ー"'),
        ("Korean", "한국어", '"한 국 어"'),
        ("mixed token", "iPhone手机", '"iphone 手 机"'),
        ("other signs vanish", "c++ a&b", '"c"* AND "ab"*'),
        ("an unmatched quote runs to the end", 'a "b c', '"a"* AND "b c"'),
        ("quote inside a token", 'foo"bar baz"qux', '"foo"* AND "bar baz" AND "qux"*'),
        ("nothing left", "!! ?", None),
        ("empty phrase", '""', None),
        ("empty", "", None),
    ],
)
def test_fts_query(why: str, line: str, expected: str | None) -> None:
    assert qmd.fts_query(line) == expected, why


DOCUMENTS = {
    "sports": "performance of sports cars",
    "tuning": "tuning performance of a database",
    "agents": "Multi-agent systems with shared memory",
    "agent": "an agent for multi purpose use",
    "version": "released as 3.14.0 today",
    "other": "version 3.0 came fourteen days later",
    "weather": "明天北京的天气预报说有雨",
    "beijing": "北京是首都",
    "learning": "learning about machine parts",
    "phrase": "machine learning for beginners",
    "contraction": "you don't need it",
    "one": "notes of the 1:1 with Bob",
    "hindi": "शहद असली है और पानी साफ",
}


@pytest.fixture(scope="module")
def index() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(qmd.FTS_TABLE)
    for name, body in DOCUMENTS.items():
        connection.execute("INSERT INTO documents_fts VALUES (?, '', ?)", (name, qmd.index_text(body)))
    return connection


def found(index: sqlite3.Connection, line: str) -> set[str]:
    sql = f"SELECT filepath FROM documents_fts WHERE documents_fts MATCH ? ORDER BY {qmd.FTS_RANK}"
    return {row[0] for row in index.execute(sql, (qmd.fts_query(line),))}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("performance", {"sports", "tuning"}),
        ("perform tun", {"tuning"}),
        ("performance -sports", {"tuning"}),
        ("multi-agent", {"agents"}),
        ("multi agent", {"agents", "agent"}),
        ("3.14.0", {"version"}),
        ("天气", {"weather"}),
        ("北京", {"weather", "beijing"}),
        ("北京 天气", {"weather"}),
        ("北京天气", set()),
        ('"machine learning"', {"phrase"}),
        ("machine learning", {"phrase", "learning"}),
        ("don't", {"contraction"}),
        ("1:1", set()),
        ('"1 1" bob', {"one"}),
        ("असली", {"hindi"}),
        ("पानी", set()),
    ],
)
def test_what_a_lex_line_finds(index: sqlite3.Connection, line: str, expected: set[str]) -> None:
    assert found(index, line) == expected


@pytest.mark.parametrize(
    ("line", "dead"),
    [
        ("1:1", True), ("send/recv", True), ("GD&T", True), ("30,000", True), ("pnpm-lock.yaml", True), ("पानी", True),
        ('"kick-off"', True), ("kick-off", False), ('"send recv"', False), ("node.js", False), ("c++", False),
        ("don't", False), ("天气预报", False), ("résumé", False), ("असली", False), ("plain", False),
    ],
)  # fmt: skip
def test_a_dead_term_does_not_find_the_text_it_was_copied_from(line: str, dead: bool) -> None:
    (term,) = qmd.lex_terms(line)
    assert term.dead == dead
    connection = sqlite3.connect(":memory:")
    connection.execute(qmd.FTS_TABLE)
    connection.execute("INSERT INTO documents_fts VALUES ('doc', '', ?)", (qmd.index_text(f"a {term.text} b"),))
    assert found(connection, line) == (set() if dead else {"doc"})


def javascript(source: str, names: list[str]) -> str:
    """Top-level functions and regular expressions of a JavaScript module, by name."""
    parts = []
    for name in names:
        found = re.search(
            rf"^(?:export )?((?:async )?function {name}\(.*?^}}|const {name} = .*?;$)", source, re.M | re.S
        )
        parts.append(found.group(1))
    return "\n".join(parts)


def run_node(folder: Path, script: str, data: object) -> object:
    (folder / "input.json").write_text(json.dumps(data), encoding="utf-8")
    read = 'const input = JSON.parse(require("fs").readFileSync("input.json", "utf8"));\n'
    (folder / "script.cjs").write_text(script.replace("INPUT;", read), encoding="utf-8")
    done = subprocess.run(["node", "script.cjs"], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


ATOMS = [
    *"ab-.\"' _1&/:", "foo", "bar", " ", " -", '"', "东京", "天", "ー", "サー", "한국", "é", "ß", "हि", "\ufeff",
    "\x1c", "\u3000", "٣", "½", "Ⅷ", "İ", "ﬁ", "々", "a-b", "1.2", "C++", "🎉", "\U00020000", "e\u0301",
]  # fmt: skip


def test_fts_query_is_qmds_own(qmd_source: Path, tmp_path: Path, index: sqlite3.Connection) -> None:
    store = (qmd_source / "store.js").read_text(encoding="utf-8")
    functions = javascript(store, [
        "CJK_CHAR_PATTERN", "CJK_RUN_PATTERN", "normalizeCjkForFTS", "containsCjk", "sanitizeFTS5Phrase",
        "sanitizeFTS5Term", "isHyphenatedToken", "sanitizeHyphenatedTerm", "isDottedToken", "sanitizeDottedTerm",
        "buildFTS5Query", "validateSemanticQuery", "validateLexQuery",
    ])  # fmt: skip
    lines: list[str] = []

    @given(st.lists(st.sampled_from(ATOMS), max_size=12).map("".join))
    @settings(max_examples=3000, database=None, derandomize=True)
    def collect(line: str) -> None:
        lines.append(line)
        if expression := qmd.fts_query(line):
            index.execute("SELECT 1 FROM documents_fts WHERE documents_fts MATCH ?", (expression,)).fetchall()

    collect()
    theirs = run_node(
        tmp_path,
        f"{functions}\nINPUT;\nconsole.log(JSON.stringify(input.map(q => [buildFTS5Query(q), normalizeCjkForFTS(q),"
        " validateSemanticQuery(q) !== null, validateLexQuery(q) !== null])));",
        lines,
    )
    for line, (expression, stored, negation, invalid) in zip(lines, theirs, strict=True):
        assert qmd.fts_query(line) == expression, line
        assert qmd.index_text(line) == stored, line
        assert qmd.has_negation(line) == negation, line
        assert qmd.unmatched_quote(line) == invalid, line


def test_index_and_limits_are_qmds(qmd_source: Path) -> None:
    store = (qmd_source / "store.js").read_text(encoding="utf-8")
    declared = re.search(r"const DOCUMENTS_FTS_DDL = `(.*?)`", store, re.S).group(1)
    assert (
        " ".join(declared.split()).replace("IF NOT EXISTS ", "").replace("( ", "(").replace(" )", ")") == qmd.FTS_TABLE
    )
    assert qmd.FTS_RANK in store
    assert f"excludeDirs = {json.dumps(list(qmd.EXCLUDED_FOLDERS))};" in store
    assert f"searchFTS(query, {qmd.RESULTS_PER_LIST}, collection)" in store
    assert f'queryType === "original" ? {qmd_search.ORIGINAL_WEIGHT} : {qmd_search.EXPANSION_WEIGHT}' in store

    strong = re.search(r"STRONG_SIGNAL_MIN_SCORE = ([\d.]+);.*?STRONG_SIGNAL_MIN_GAP = ([\d.]+);", store, re.S)
    assert (float(strong.group(1)), float(strong.group(2))) == (qmd_search.STRONG_SCORE, qmd_search.STRONG_GAP)
    assert f"RERANK_CANDIDATE_LIMIT = {qmd_search.CANDIDATES};" in store
    share = qmd_search.OVERLAP_TOKENS / qmd_search.CHUNK_TOKENS
    assert f"CHUNK_SIZE_TOKENS = {qmd_search.CHUNK_TOKENS};" in store
    assert f"CHUNK_OVERLAP_TOKENS = Math.floor(CHUNK_SIZE_TOKENS * {share:g});" in store
    assert f"CHUNK_WINDOW_TOKENS = {qmd_search.WINDOW_TOKENS};" in store
    assert f"annVecScan(db, embedding, limit * {qmd_search.VECTORS_PER_RESULT})" in store
    llm = (qmd_source / "llm.js").read_text(encoding="utf-8")
    assert f"v > 0 ? v : {qmd_search.EMBEDDED_TOKENS};" in llm
    assert f"maxTokens - {qmd_search.TRUNCATION_MARGIN})" in llm


def test_documents_are_cut_as_qmd_cuts_them(qmd_source: Path, tmp_path: Path) -> None:
    functions = javascript((qmd_source / "store.js").read_text(encoding="utf-8"), [
        "BREAK_PATTERNS", "scanBreakPoints", "findCodeFences", "isInsideCodeFence", "findBestCutoff",
        "isSurrogatePairBoundary", "adjustSurrogateBoundary", "chunkDocumentWithBreakPoints", "chunkDocument",
        "chunkDocumentAsync", "stripUnpairedSurrogates", "chunkDocumentByTokens",
    ])  # fmt: skip
    constants = (
        f"const CHUNK_SIZE_TOKENS = {qmd_search.CHUNK_TOKENS}, CHUNK_OVERLAP_TOKENS = {qmd_search.OVERLAP_TOKENS},"
        f" CHUNK_WINDOW_TOKENS = {qmd_search.WINDOW_TOKENS};\n"
        "const CHUNK_SIZE_CHARS = 4 * CHUNK_SIZE_TOKENS, CHUNK_OVERLAP_CHARS = 4 * CHUNK_OVERLAP_TOKENS,"
        " CHUNK_WINDOW_CHARS = 4 * CHUNK_WINDOW_TOKENS;\n"
        # A tokenizer of so many quarters of a token a character.
        "let quarters = 0; const getDefaultLlamaCpp = () => ({ tokenize: async (text) =>"
        " ({ length: Math.ceil(text.length * quarters / 4) }) });\n"
    )
    parts = [
        "word ",
        "longer words than that, ",
        "\n",
        "\n\n",
        "\n# One\n",
        "\n### Three\n",
        "\n```\n",
        "\n---\n",
        "\n- item",
    ]
    parts += ["\n1. item", "\n*\u3000item", "中文也在这里。", "x" * 1500]
    random = Random(5)
    cases = [
        ["".join(random.choices(parts, [9] * (len(parts) - 1) + [0.2], k=random.randint(0, 900))), random.randint(1, 4)]
        for _ in range(150)
    ]
    script = (
        f"{constants}{functions}\nINPUT;\n(async () => {{ const all = []; for (const [text, rate] of input) {{"
        " quarters = rate; all.push((await chunkDocumentByTokens(text)).map(c => [c.text, c.pos])); }"
        " console.log(JSON.stringify(all)); })();"
    )
    theirs = run_node(tmp_path, script, cases)
    assert sum(len(found) > 3 for found in theirs) > 75
    for (text, quarters), expected in zip(cases, theirs, strict=True):
        ours = qmd_search.chunks(text, lambda piece: -(-len(piece) * quarters // 4))  # noqa: B023
        assert [list(found) for found in ours] == expected


@pytest.mark.parametrize("model", ["all-MiniLM-L6-v2", "Qwen3-Embedding-0.6B", "embeddinggemma-300M"])
def test_texts_are_embedded_as_qmd_embeds_them(model: str, qmd_source: Path, tmp_path: Path) -> None:
    names = ["isQwen3EmbeddingModel", "formatQueryForEmbedding", "formatDocForEmbedding"]
    functions = javascript((qmd_source / "llm.js").read_text(encoding="utf-8"), names)
    texts = [["", "a text"], ["A title", "a text\nof two lines"]]
    script = (
        f"{functions}\nINPUT;\nconsole.log(JSON.stringify(input.texts.map(([title, text]) =>"
        " [formatQueryForEmbedding(text, input.model), formatDocForEmbedding(text, title, input.model)])));"
    )
    theirs = run_node(tmp_path, script, {"model": model, "texts": texts})
    ours = [
        [qmd_search.embedding_query(text, model), qmd_search.embedding_document(title, text, model)]
        for title, text in texts
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    ("bm25", "strong"),
    [
        ([], False),
        ([-6.0], True),
        ([-5.0], False),
        ([-20.0, -3.0], True),
        ([-20.0, -10.0], False),
        ([-1.0, -0.1], False),
    ],
)
def test_a_strong_signal_is_a_high_score_far_from_the_next(bm25: list[float], strong: bool) -> None:
    assert qmd_search.strong_signal(bm25) == strong


# --- Fusion --------------------------------------------------------------------------------------------


def test_fuse_by_hand() -> None:
    fused = dict(qmd_search.fuse([["a", "b"], ["b", "c", "d", "e"]], [2.0, 1.0]))
    assert fused["a"] == pytest.approx(2 / 61 + 0.05)
    assert fused["b"] == pytest.approx(2 / 62 + 1 / 61 + 0.05)
    assert fused["c"] == pytest.approx(1 / 62 + 0.02)
    assert fused["d"] == pytest.approx(1 / 63 + 0.02)
    assert fused["e"] == pytest.approx(1 / 64)


def test_fuse_refuses_a_list_without_weight() -> None:
    with pytest.raises(ValueError, match="shorter"):
        qmd_search.fuse([["a"], ["b"]], [1.0])


def test_fuse_is_qmds_own(qmd_source: Path, tmp_path: Path) -> None:
    function = javascript((qmd_source / "store.js").read_text(encoding="utf-8"), ["reciprocalRankFusion"])
    cases: list[tuple[list[list[str]], list[float]]] = []
    ranking = st.lists(st.sampled_from("abcdefghij"), max_size=8, unique=True)

    @given(st.lists(st.tuples(ranking, st.sampled_from([1.0, 2.0])), max_size=6))
    @settings(max_examples=500, database=None, derandomize=True)
    def collect(lists: list[tuple[list[str], float]]) -> None:
        cases.append(([ids for ids, _ in lists], [weight for _, weight in lists]))

    collect()
    theirs = run_node(
        tmp_path,
        f"{function}\nINPUT;\nconsole.log(JSON.stringify(input.map(([lists, weights]) => reciprocalRankFusion("
        "lists.map(l => l.map(file => ({file}))), weights).map(r => [r.file, r.score]))));",
        cases,
    )
    for (lists, weights), expected in zip(cases, theirs, strict=True):
        ours = qmd_search.fuse(lists, weights)
        assert [doc for doc, _ in ours] == [doc for doc, _ in expected]
        assert [score for _, score in ours] == pytest.approx([score for _, score in expected])
