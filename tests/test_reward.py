"""The rubric: its cases, its laws, and its callers."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import language
import qmd
import reward
from query import asks_how_to, read_query

ROOT = Path(__file__).resolve().parent.parent
CASES = [json.loads(row) for row in reward.CASES.read_text(encoding="utf-8").splitlines()]
BY_NAME = {case["name"]: case for case in CASES}
DATA = [json.loads(row) for path in sorted((ROOT / "data").glob("*.jsonl")) for row in path.open(encoding="utf-8")]


def percentage(query: str, expansion: str) -> float:
    return 100 * reward.score_expansion(query, expansion)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case: dict) -> None:
    got = percentage(case["query"], case["expansion"])
    low, high = case["band"]
    assert low <= got <= high, reward.explain(case["query"], case["expansion"])
    if "below" in case:
        assert got < percentage(case["query"], BY_NAME[case["below"]]["expansion"])


def test_every_rule_has_several_cases() -> None:
    rules = [case["rule"] for case in CASES]
    assert {rule for rule in range(1, 11) if rules.count(rule) >= 3} == set(range(1, 11))


def test_scores_do_not_hang_on_the_order_of_a_set() -> None:
    # Each process has its own order for sets of words.
    program = """
import json, sys, reward
for row in map(json.loads, sys.stdin):
    print(reward.score_expansion(*row))
"""
    rows = [(row["query"], "".join(f"{kind}: {text}\n" for kind, text in row["output"])) for row in DATA]
    rows += [(case["query"], case["expansion"]) for case in CASES]
    said = [
        subprocess.run(
            [sys.executable, "-c", program], input="\n".join(map(json.dumps, rows)), cwd=ROOT, capture_output=True,
            text=True, check=True, env={"PYTHONHASHSEED": seed},
        ).stdout.splitlines()
        for seed in ("1", "2", "3", "4")
    ]  # fmt: skip
    assert len(said[0]) == len(rows)
    differing = [row for row, scores in zip(rows, zip(*said, strict=True), strict=True) if len(set(scores)) > 1]
    assert differing == []


# --- Laws that hold for any query ----------------------------------------------------------------------

queries = st.sampled_from([example["query"] for example in DATA])
TEMPLATE = (
    "hyde: This comprehensive guide covers everything you need to know about {0}.\nlex: {0} tutorial guide\n"
    "lex: {0} best practices\nvec: how to {0} step by step\n"
)
FILLER_OF_TEMPLATE = {"tutorial", "guide", "best", "practices", "comprehensive", "step", "how", "everything", "steps"}


@given(queries | st.text(min_size=1, max_size=60))
@settings(deadline=None, max_examples=600)
def test_templates_stay_under_40_percent(query: str) -> None:
    base, only = qmd.split_mode(query)
    assume(FILLER_OF_TEMPLATE.isdisjoint(language.words(base)) and only is None)
    assert percentage(query, TEMPLATE.format(" ".join(query.split()))) < 40


lines = st.builds(
    lambda kind, text: f"{kind}: {text}",
    st.sampled_from(qmd.LINE_TYPES),
    st.sampled_from([text for example in DATA[::7] for _, text in example["output"]]) | st.text(max_size=40),
)


@given(queries | st.text(max_size=40), st.lists(lines, max_size=12).map("\n".join) | st.text(max_size=200))
@settings(deadline=None, max_examples=600)
def test_a_score_is_always_in_range(query: str, expansion: str) -> None:
    detail = reward.score_expansion_detailed(query, expansion)
    assert 0 <= detail["percentage"] <= 100
    assert reward.score_expansion(query, expansion) == detail["percentage"] / 100
    assert detail["percentage"] == reward.score_expansion_detailed(query, expansion)["percentage"], "deterministic"


examples = st.sampled_from(DATA)


@given(examples, st.lists(lines, max_size=4), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=400)
def test_order_of_equal_types_never_matters(example: dict, extra: list[str], chance: random.Random) -> None:
    rows = [f"{kind}: {text}" for kind, text in example["output"]] + extra
    rows = sorted((row for row in rows if "\n" not in row), key=lambda row: qmd.LINE_TYPES.index(row.split(":")[0]))
    shuffled = rows[:]
    chance.shuffle(shuffled)
    shuffled.sort(key=lambda row: qmd.LINE_TYPES.index(row.split(":")[0]))
    assert percentage(example["query"], "\n".join(rows)) == pytest.approx(
        percentage(example["query"], "\n".join(shuffled))
    )


BAD_LINES = {
    "dropped": "lex: zzqxj wvvk",
    "filler": "lex: {first} tutorial guide",
    "filler sentence": "vec: {first} best practices step by step",
    "unmatched quote": 'lex: {first} "zzq',
    "dead term": "lex: {first} a:b/c",
    "long": "lex: {first} one two three four five six",
    "nothing to search": "lex: -{first}",
    "negation in vec": "vec: {first} without -zzqx in this sentence",
    "repetition": "vec: {first} {first} {first} {first} {first} {first} {first} {first}",
    "the query": "vec: {query}",
    "boilerplate": "hyde: This guide covers everything you need to know about {first}.",
    "other script": "vec: {first} совершенно другой язык и ещё слова",
    "a copy of a line": "{copy}",
}


@given(examples, st.sampled_from(sorted(BAD_LINES)), st.integers(0, 5))
@settings(deadline=None, max_examples=800)
def test_adding_a_bad_line_never_raises_the_score(example: dict, kind: str, keep: int) -> None:
    query, only = qmd.split_mode(example["query"])
    first = next(iter(language.words(query)), "x")
    assume(only is None)
    assume(kind != "other script" or read_query(query).language != "ru")
    rows = [f"{kind}: {text}" for kind, text in example["output"]][: keep + 1]
    bad = BAD_LINES[kind].format(first=first, query=query, copy=rows[-1])
    assume(kind != "dropped" or qmd.drop_reason(query, qmd.parse(bad)[0][0]))
    before = percentage(query, "\n".join(rows))
    after = percentage(query, "\n".join([bad, *rows] if bad.startswith("hyde") else [*rows, bad]))
    assert after <= before + 1e-9


def _with_a_name_to_lose() -> list[tuple[str, str, str]]:
    """Query, expansion and the same without the query's first name, of the examples whose lines survive that."""
    found = []
    for example in DATA:
        query = example["query"]
        names = reward.extract_named_entities(query)
        if not names or qmd.split_mode(query)[1] is not None or len(names) > 3 or names[0].isdigit():
            continue
        kept = [(kind, text) for kind, text in example["output"] if kind != "hyde"]
        lost = names[0].lower()
        spoiled = [(kind, " ".join(w for w in text.split() if lost not in w.lower())) for kind, text in kept]
        if all(text.strip(' "') for _, text in spoiled) and spoiled != kept:
            found.append((query, qmd.render(kept), qmd.render(spoiled)))
    return found


@given(st.sampled_from(_with_a_name_to_lose()))
@settings(deadline=None, max_examples=200)
def test_dropping_the_names_costs(example: tuple[str, str, str]) -> None:
    query, kept, spoiled = example
    before, after = percentage(query, kept), percentage(query, spoiled)
    # The better of two vec lines counts alone: what the other one loses costs nothing.
    lex = [[line for line in text.splitlines() if line.startswith("lex")] for text in (kept, spoiled)]
    assert after < before if lex[0] != lex[1] else after <= before


# --- Reading queries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sarah's notes on q4", ["sarah", "q4"]),
        ("node.js 20 esm", ["node.js", "20"]),
        ("Who directed Dune Part Two", ["Dune"]),
        ("what happened to HTTP/3 in nginx 1.25", ["HTTP/3", "nginx", "1.25"]),
        ("gpt-4 vs claude", ["gpt-4"]),
        ("std::move in c++17", ["std::move", "c++17"]),
        ("package.json scripts", ["package.json"]),
        ("Telegram 配置信息", ["Telegram"]),
        ("it's what's needed", []),
        ("today's company's plan", []),
        ("WHY IS MY SCREEN BLACK", []),
        ("java -coffee", ["java"]),
        ("ERROR: Specified key was too long", []),
        ("meeting with priya last tuesday", ["priya", "tuesday"]),
        ("größte Städte in Deutschland und der Schweiz", []),
        ("погода в Москва завтра", ["Москва"]),
        ("lunch between 2019 and 2021", ["2019", "2021"]),
        ("snake_case or CamelCase", ["snake_case", "CamelCase"]),
        ("1:1 with dave", ["dave"]),
    ],
)
def test_named_entities(query: str, names: list[str]) -> None:
    assert reward.extract_named_entities(query) == names


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("how do i reset my password", "en"),
        ("wie kann ich mein passwort zurücksetzen", "de"),
        ("cómo puedo cambiar la contraseña del router", "es"),
        ("comment changer le mot de passe de ma box", "fr"),
        ("como posso mudar a senha do meu roteador", "pt"),
        ("come faccio a cambiare la password del mio router", "it"),
        ("hoe kan ik het wachtwoord van mijn router wijzigen", "nl"),
        ("jak zmienić hasło do routera gdy się nie pamięta", "pl"),
        ("yönlendirici şifresi nasıl değiştirilir ve bu neden gerekli", "tr"),
        ("как сменить пароль роутера", "ru"),
        ("كيف أغير كلمة مرور الراوتر", "ar"),
        ("राउटर का पासवर्ड कैसे बदलें", "hi"),
        ("这个路由器的密码怎么改", "zh"),
        ("ルーターのパスワードを変える", "ja"),
        ("공유기 비밀번호 변경", "ko"),
        ("京都 天気", "ja"),
        ("东京 天气", "zh"),
        ("東京 大学", "zh/ja"),
        ("kubernetes pod eviction", None),
        ("receta paella valenciana", None),
        ("what does the word 木漏れ日 mean", "en"),
        ("Telegram 配置信息 怎么改", "zh"),
    ],
)
def test_query_language(query: str, code: str | None) -> None:
    assert language.query_language(query) == code


@pytest.mark.parametrize(
    ("query", "text", "other"),
    [
        ("wie lange ist hackfleisch haltbar", "how long does minced meat keep in the fridge", True),
        ("wie lange ist hackfleisch haltbar", "die Haltbarkeit von rohem Hackfleisch im Kühlschrank", False),
        ("how long does minced meat keep", "wie lange ist das Hackfleisch im Kühlschrank noch haltbar", True),
        ("how long does minced meat keep", "minced meat (viande hachée) keeps for a day in the fridge", False),
        ("怎么备份数据库", "how to back up a database", True),
        ("怎么备份 PostgreSQL", "用 pg_dump 备份 PostgreSQL 的方法", False),
        ("味噌汁の作り方", "味噌汤的做法和步骤", True),
        ("京都 天気", "京都の天気の予報", False),
        ("东京 天气", "東京の天気の予報はこちら", True),
        ("東京 大学", "東京の大学の一覧", False),
        ("東京 大学", "东京的大学有哪些", False),
        ("как настроить nginx", "настройка nginx для сайта", False),
        ("как настроить nginx", "set up nginx for a site", True),
        ("كيف أغير كلمة المرور", "طريقة تغيير كلمة المرور", False),
        ("كيف أغير كلمة المرور", "change the password of the account", True),
        ("reset router", "сбросить пароль на router", True),
        ("kubernetes pod eviction", "the order in which the kubelet evicts pods", False),
    ],
)
def test_sentences_in_another_language(query: str, text: str, other: bool) -> None:
    words = frozenset(language.words(text))
    code = language.query_language(query)
    assert language.in_other_language(code, query, frozenset(language.words(query)), text, words, True) == other


@pytest.mark.parametrize(
    ("query", "text", "other"),
    [
        ("怎么备份 PostgreSQL", "PostgreSQL pg_dump", False),
        ("怎么备份数据库", "MySQL", False),
        ("怎么备份数据库", "database backup", True),
        ("как настроить прокси", "nginx", False),
        ("как настроить прокси", "proxy setup", True),
    ],
)
def test_lex_lines_of_latin_names_are_at_home_anywhere(query: str, text: str, other: bool) -> None:
    words = frozenset(language.words(text))
    code = language.query_language(query)
    assert language.in_other_language(code, query, frozenset(language.words(query)), text, words, False) == other


@pytest.mark.parametrize(
    ("query", "asks"),
    [
        ("how to boil eggs", True), ("rotate api keys", True), ("docker volume setup", True), ("怎么退订", True),
        ("wie kann ich kündigen", True), ("postgresql default port", False), ("backup strategy", False),
        ("test coverage threshold", False), ("who invented the zipper", False),
    ],
)  # fmt: skip
def test_asks_how_to(query: str, asks: bool) -> None:
    assert asks_how_to(query) == asks


def test_stems_meet_where_qmds_stemmer_lets_words_meet() -> None:
    for a, b in (("configuration", "config"), ("notes", "note"), ("queries", "query"), ("evicted", "evicting")):
        assert language.stem(a) == language.stem(b)
    for a, b in (("authentication", "authorization"), ("class", "classic"), ("kubernetes", "kubectl")):
        assert language.stem(a) != language.stem(b)


@pytest.mark.parametrize(
    "text",
    [
        "This article explains how x works.", "This page is about x.", "In this section we look at x.",
        "A complete guide to x.", "A comprehensive overview of x.", "Everything you need for x.", "Lorem ipsum dolor.",
        "A hypothetical passage.", "A placeholder for x.", "[insert name] is x.",
        "X is an important topic.", "Various aspects of x.", "This guide will help.",
        "Questo articolo parla di x.", "Cet article parle de x.",
        "Dieser Leitfaden hilft bei x.", "Deze gids gaat over x.",
        "Information about x.", "Here is a passage about x.", "Here's x.", "Sure, x is y.", "As an AI model I x.",
        "Learn more about x.", "Discover x.", "Find out what x is.", "Explore the x.", "When it comes to x, y.",
        "Esta guía cubre x.", "本文将介绍 x。", "この記事ではxについて説明します。", "이 글에서는 x",
        "В этой статье рассказано о x",
        "هذا المقال يتحدث عن x", "Bu makale x hakkında", "यह लेख x के बारे में है",
    ],
)  # fmt: skip
def test_boilerplate_is_recognised(text: str) -> None:
    detail = reward.score_expansion_detailed("x", f"hyde: {text}\nlex: x y\n")
    assert any("speaks about a text" in why for why in detail["deductions"])


@pytest.mark.parametrize(
    "text",
    [
        "Set proxy_read_timeout to raise how long nginx waits for the next websocket frame.",
        "The guide rail of the saw has to be parallel to the blade before the first cut.",
        "We agreed to move the launch to Thursday and to tell sales on Monday.",
    ],
)
def test_passages_are_no_boilerplate(text: str) -> None:
    detail = reward.score_expansion_detailed("x", f"hyde: {text}\nlex: x y\n")
    assert not any("speaks about a text" in why for why in detail["deductions"])


# --- What callers use ----------------------------------------------------------------------------------


def test_detail_has_what_callers_expect() -> None:
    detail = reward.score_expansion_detailed("sarah's q4 notes", "lex: sarah q4\nlex: zzz\nvec: sarah's notes on q4\n")
    for key in (
        "format", "diversity", "hyde", "quality", "entity", "total", "max_possible", "percentage", "rating",
        "deductions", "parsed", "entities_detected", "only_mode",
    ):  # fmt: skip
        assert key in detail
    assert detail["total"] == pytest.approx(detail["percentage"] * detail["max_possible"] / 100, abs=0.01)
    sections = sum(detail[name] for name in reward.POINTS)
    assert detail["total"] == pytest.approx(max(0, sections - detail["faults"]), abs=0.05)
    assert detail["max_possible"] == sum(reward.POINTS.values()) == 100
    assert detail["parsed"] == {"hyde": [], "lex": ["sarah q4", "zzz"], "vec": ["sarah's notes on q4"], "invalid": []}
    assert any("zzz" in why for why in detail["deductions"])
    assert detail["entities_detected"] == ["sarah", "q4"]
    assert detail["only_mode"] is None
    assert reward.score_expansion_detailed("x /only:lex", "lex: x y")["only_mode"] == "lex"


def test_parse_expansion() -> None:
    assert reward.parse_expansion("vec: v\nlex: l\noops\n") == {
        "hyde": [],
        "lex": ["l"],
        "vec": ["v"],
        "invalid": ["oops"],
    }


@pytest.mark.parametrize(
    ("query", "expansion", "valid"),
    [
        ("tls cert", "hyde: h\nlex: l\nvec: v\n", True),
        ("tls cert", "lex: a\nvec: d\nlex: b\nlex: c\nvec: e\nvec: f", True),
        ("tls cert", "lex: l\nhyde: h\nvec: v", False),
        ("tls cert", "hyde: h\nhyde: i\nlex: l\nvec: v", False),
        ("tls cert", "hyde: h\nlex: l", False),
        ("tls cert", "hyde: h\nvec: v", False),
        ("tls cert", "lex: a\nlex: b\nlex: c\nlex: d\nvec: v", False),
        ("tls cert", "lex: l\nvec: v\nSure!", False),
        ("tls cert", "", False),
        ("tls cert /only:vec", "vec: v", True),
        ("tls cert /only:vec", "lex: l\nvec: v", False),
        ("tls cert /only:hyde", "hyde: h\nhyde: i", False),
    ],
)
def test_valid_format(query: str, expansion: str, valid: bool) -> None:
    assert reward.valid_format(query, expansion) is valid


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (100, "Excellent"),
        (80, "Excellent"),
        (79.9, "Good"),
        (60, "Good"),
        (40, "Acceptable"),
        (20, "Poor"),
        (0, "Failed"),
    ],
)
def test_rating(score: float, name: str) -> None:
    assert reward.rating(score) == name


EXPANSION = "lex: auth provider\nlex: oauth config\nvec: settings that control authentication\n"


def test_reward_function_reads_prompts_of_every_kind() -> None:
    score = reward.QMDRewardFunction()
    expected = [reward.score_expansion("auth config", EXPANSION)]
    for prompt in (qmd.chatml_prompt("auth config"), qmd.user_prompt("auth config"), qmd.messages("auth config")):
        assert score(prompts=[prompt], completions=[EXPANSION]) == expected
        assert score(prompts=[prompt], completions=[[{"role": "assistant", "content": EXPANSION}]]) == expected
    assert score(prompts=["anything"], completions=[EXPANSION], query=["auth config"], trainer_state=None) == expected


def test_reward_function_refuses_a_prompt_without_query() -> None:
    with pytest.raises(ValueError, match="no query in the prompt 'hello'"):
        reward.QMDRewardFunction()(prompts=["hello"], completions=[EXPANSION])


@pytest.mark.parametrize("conversational", [False, True])
def test_grpo_trainer_calls_the_reward_function(conversational: bool, qwen3_tokenizer, tmp_path: Path) -> None:
    import torch
    from datasets import Dataset
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    torch.manual_seed(0)
    tiny = Qwen3Config(
        vocab_size=len(qwen3_tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, head_dim=16, pad_token_id=qwen3_tokenizer.pad_token_id,
    )  # fmt: skip
    prompt = qmd.messages("auth config") if conversational else qmd.chatml_prompt("auth config")
    seen: list[float] = []

    class Recorded(reward.QMDRewardFunction):
        def __call__(self, *args: object, **kwargs: object) -> list[float]:
            scores = super().__call__(*args, **kwargs)
            seen.extend(scores)
            return scores

    config = GRPOConfig(
        output_dir=str(tmp_path), per_device_train_batch_size=2, num_generations=2, max_completion_length=4,
        max_steps=1, bf16=False, use_cpu=True, report_to=[], save_strategy="no", logging_steps=1,
    )  # fmt: skip
    trainer = GRPOTrainer(
        Qwen3ForCausalLM(tiny), Recorded(), args=config, train_dataset=Dataset.from_list([{"prompt": prompt}] * 2),
        processing_class=qwen3_tokenizer,
    )  # fmt: skip
    trainer.train()
    assert seen == [0.0, 0.0], "an untrained model writes no line"
    assert any("rewards/qmd_reward/mean" in row for row in trainer.state.log_history)


def run(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, ROOT / "reward.py", *args], input=stdin, capture_output=True)


def test_command_self_test() -> None:
    done = run()
    assert done.returncode == 0, done.stdout.decode()
    assert f"{len(CASES)} cases, 0 wrong" in done.stdout.decode()


def test_self_test_fails_outside_the_band(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "cases.jsonl"
    wrong.write_text(json.dumps({"name": "x", "query": "auth", "expansion": EXPANSION, "band": [0, 1]}) + "\n")
    assert reward.self_test(wrong) == 1
    assert "EXPECTED 0-1" in capsys.readouterr().out


def test_command_explains_each_point() -> None:
    done = run("heart attack symptoms", stdin=b"lex: heart attack\nlex: myocardial infarction\n")
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "QMD drops it" in text
    for section in reward.POINTS:
        assert section in text


def test_command_as_json() -> None:
    detail = json.loads(run("auth config", "--json", stdin=EXPANSION.encode()).stdout)
    assert detail["reward_version"] == reward.REWARD_VERSION


def test_command_refuses_what_is_no_text() -> None:
    done = run("auth config", stdin=b"lex: \xff\n")
    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert "not UTF-8" in done.stderr.decode()
