"""The data tools on small data of the tests' own: what they find, write and refuse."""

import hashlib
import json
import os
import pty
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

import qmd
import reward
from dataset import analyze_data, prepare_data, score_data, validate_schema
from dataset.prepare_data import Preparation
from dataset.schema import SchemaError, TrainingExample, load_examples, load_queries

ROOT = Path(__file__).resolve().parent.parent
GOOD = {
    "query": "postgresql default port",
    "output": [
        ["hyde", "Unless the port parameter says otherwise, a postgresql server listens for TCP connections on 5432."],
        ["lex", "postgresql 5432"],
        ["lex", "listen port postgresql"],
        ["vec", "the tcp port on which postgresql listens by default"],
        ["vec", "which port number does a postgresql server use"],
    ],
    "category": "reference",
}


def changed(query: str | None = None, output: list | None = None, **more: object) -> dict:
    return {**GOOD, "query": query or GOOD["query"], "output": output or GOOD["output"], **more}


def write(path: Path, *examples: dict | str) -> Path:
    rows = (example if isinstance(example, str) else json.dumps(example, ensure_ascii=False) for example in examples)
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "dataset" / script, *map(str, args)], capture_output=True, text=True, encoding="utf-8"
    )


# --- validate_schema.py --------------------------------------------------------------------------------

OTHER = changed(
    "sourdough smells of acetone",
    [
        ["lex", "sourdough acetone"],
        ["vec", "why a sourdough starter begins to smell of nail polish"],
    ],
)


@pytest.mark.parametrize(
    ("example", "says"),
    [
        (
            changed(output=[["vec", "which port number does a postgresql server use"]]),
            "0 lex lines, not 1 to 3",
        ),
        (changed(output=[["lex", "postgresql 5432"]]), "0 vec lines, not 1 to 3"),
        (
            changed(output=[*GOOD["output"], ["lex", "port a"], ["lex", "port b"]]),
            "4 lex lines, not 1 to 3",
        ),
        (changed(output=[["hyde", "port a"], *GOOD["output"]]), "2 hyde lines, not 0 to 1"),
        (changed("postgresql port /only:lex"), "1 hyde lines, not 0"),
        (changed("postgresql port /only:vec", [["lex", "postgresql 5432"]]), "0 vec lines, not 1 to 3"),
        (changed(output=[*GOOD["output"], ["lex", "5432 number"]]), "QMD would drop “lex: 5432 number”"),
        (changed(output=[*GOOD["output"], ["vec", "postgresql default port"]]), "it is the query itself"),
        (changed(output=[*GOOD["output"], ["lex", 'port "5432']]), "unmatched double quote"),
        (changed(output=[*GOOD["output"], ["lex", "-port"]]), "leaves QMD nothing to search for"),
        (changed(output=[*GOOD["output"], ["lex", "port 5432/tcp"]]), "finds nothing: QMD searches “5432/tcp”"),
        (changed(output=[*GOOD["output"], ["vec", "a port that is -not used"]]), "has a -term"),
        (changed(output=[*GOOD["output"], ["lex", "Listen  port postgresql"]]), "stands 2 times"),
        ("{}", "'query' is missing"),
    ],
)
def test_every_data_rule_is_enforced(tmp_path: Path, example: dict | str, says: str) -> None:
    path = write(tmp_path / "x.jsonl", OTHER, example)
    _, errors = validate_schema.validate([path], [])
    assert any(says in str(error) and str(error).startswith(f"{path}:2: ") for error in errors), errors


def test_good_examples_have_no_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", GOOD, OTHER, changed("postgresql port /only:lex", GOOD["output"][1:3]))
    examples, errors = validate_schema.validate([path], [("an unrelated query", "evals")])
    assert (len(examples), errors) == (3, [])


@pytest.mark.parametrize(
    "near",
    [
        "PostgreSQL  default port",
        "postgresql default ports",
        "the default port of postgresql",
        "port postgresql default",
    ],
)
def test_no_query_of_an_evaluation_nor_a_near_copy(tmp_path: Path, near: str) -> None:
    path = write(tmp_path / "x.jsonl", OTHER, GOOD)
    _, errors = validate_schema.validate([path], [("what else", "evals.txt"), (near, "evals.txt")])
    assert [error.line for error in errors] == [2]
    assert f"“{near}” of evals.txt" in str(errors[0])


def test_near_copies_across_files(tmp_path: Path) -> None:
    sentence = "the tcp port on which PostgreSQL listens by default."
    twin = changed("where does postgresql listen", [["lex", "postgresql listen"], ["vec", sentence]])
    files = [
        write(tmp_path / "a.jsonl", GOOD),
        write(tmp_path / "b.jsonl", twin, changed("Postgresql default port", OTHER["output"])),
    ]
    _, errors = validate_schema.validate(files, [])
    messages = [str(error) for error in errors]
    assert any(
        m.startswith(f"{files[1]}:1: ") and f"near copy of “{GOOD['output'][3][1]}” in {files[0]}:1" in m
        for m in messages
    )
    assert any(m.startswith(f"{files[1]}:2: ") and f"stands already in {files[0]}:1" in m for m in messages)


def test_one_query_may_be_asked_in_two_modes(tmp_path: Path) -> None:
    only = changed("postgresql default port /only:vec", [["vec", "postgresql's number for tcp connections"]])
    assert validate_schema.validate([write(tmp_path / "x.jsonl", GOOD, only)], [])[1] == []


def test_validate_command_lists_every_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", "{", GOOD, "[]", changed("y", [["lex", "z"]]))
    done = run("validate_schema.py", path)
    assert done.returncode == 2
    for line in (1, 3, 4):
        assert f"{path}:{line}: " in done.stderr
    assert f"{path}:2: " not in done.stderr
    assert "1 files" in done.stdout


def test_validate_command_passes_good_data_and_names_missing_files(tmp_path: Path) -> None:
    done = run("validate_schema.py", write(tmp_path / "x.jsonl", GOOD))
    assert (done.returncode, done.stderr) == (0, "")
    done = run("validate_schema.py", tmp_path / "none.jsonl")
    assert done.returncode == 2
    assert f"{tmp_path / 'none.jsonl'}: cannot be read" in done.stderr


def test_validate_command_keeps_other_queries_out(tmp_path: Path) -> None:
    beir = tmp_path / "queries.jsonl"
    beir.write_text('{"_id": "1", "text": "Postgresql default port?"}\n')
    path = write(tmp_path / "x.jsonl", GOOD)
    done = run("validate_schema.py", path, "--against", beir)
    assert done.returncode == 2
    assert f"{path}:1: " in done.stderr
    beir.write_text("{}\n")
    done = run("validate_schema.py", path, "--against", beir)
    assert done.returncode == 2
    assert f"{beir}:1: " in done.stderr


# --- prepare_data.py -----------------------------------------------------------------------------------


def many(count: int, start: int = 0) -> list[dict]:
    return [changed(f"{n} postgresql port") for n in range(start, start + count)]


def rows(folder: Path) -> dict[str, list[dict]]:
    return {
        split: [json.loads(row) for row in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        for split in ("train", "val")
    }


def test_prepared_rows_are_prompt_and_completion(tmp_path: Path) -> None:
    prepare_data.prepare(write(tmp_path / "x.jsonl", GOOD), tmp_path / "out", Preparation(plain_share=0))
    (row,) = [row for split in rows(tmp_path / "out").values() for row in split]
    assert row["query"] == GOOD["query"]
    assert row["prompt"] == qmd.chatml_prompt(GOOD["query"])
    assert row["completion"].startswith("hyde: ")
    assert row["completion"].endswith("listens by default\n"), (
        "a target that lacks the last newline runs on under QMD's grammar"
    )


@pytest.mark.parametrize(
    ("query", "vec_lines", "kept"),
    [
        (None, 1, ["hyde", "lex", "lex", "vec"]),
        (None, 2, ["hyde", "lex", "lex", "vec", "vec"]),
        (None, 7, ["hyde", "lex", "lex", "vec", "vec"]),
        ("postgresql default port /only:vec", 1, ["vec", "vec"]),
    ],
)
def test_the_first_vec_lines_are_learned(query: str | None, vec_lines: int, kept: list[str], tmp_path: Path) -> None:
    output = [line for line in GOOD["output"] if line[0] in kept]
    data = write(tmp_path / "x.jsonl", changed(query, output))
    prepare_data.prepare(data, tmp_path / "out", Preparation(vec_lines=vec_lines))
    (row,) = [row for split in rows(tmp_path / "out").values() for row in split]
    lines, other = qmd.parse(row["completion"])
    assert [line.type for line in lines] == kept
    assert [[line.type, line.text] for line in lines] == output[: len(kept)]
    assert not other
    assert prepare_data.is_current(data, tmp_path / "out", Preparation(vec_lines=vec_lines))
    assert not prepare_data.is_current(data, tmp_path / "out", Preparation(vec_lines=vec_lines + 1))


def test_hydes_are_left_out_for_a_model_that_should_not_invent(tmp_path: Path) -> None:
    asked = changed("postgresql default port /only:hyde", [line for line in GOOD["output"] if line[0] == "hyde"])
    data = write(tmp_path / "x.jsonl", GOOD, asked)
    prepare_data.prepare(data, tmp_path / "out", Preparation(hyde_lines=0))
    found = {row["query"]: row["completion"] for split in rows(tmp_path / "out").values() for row in split}
    assert [line.type for line in qmd.parse(found[GOOD["query"]])[0]] == ["lex", "lex", "vec"]
    assert [line.type for line in qmd.parse(found[asked["query"]])[0]] == ["hyde"]
    assert not prepare_data.is_current(data, tmp_path / "out")


@pytest.mark.parametrize(("flag", "value"), [("--vec-lines", "0"), ("--hyde-lines", "2")])
def test_prepare_refuses_a_number_of_lines_that_can_not_be(flag: str, value: str, tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", GOOD)
    done = run("prepare_data.py", "--data", data, "--output", tmp_path / "out", flag, value)
    assert done.returncode == 2
    assert f"{flag[2:].replace('-', '_')} is {value}" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tokenizer", ["qwen3_tokenizer", "smollm2_tokenizer"])
def test_prepared_text_is_what_the_models_template_makes(
    tokenizer: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    real = request.getfixturevalue(tokenizer)
    prepare_data.prepare(write(tmp_path / "x.jsonl", GOOD), tmp_path / "out", Preparation(plain_share=0))
    (row,) = [row for split in rows(tmp_path / "out").values() for row in split]
    chat = [*qmd.messages(GOOD["query"]), {"role": "assistant", "content": row["completion"]}]
    templated = real.apply_chat_template(chat, tokenize=False)
    # Qwen3's template puts an empty thinking block into the last answer, which nobody serves.
    templated = templated.replace("<think>\n\n</think>\n\n", "")
    assert templated.removesuffix("\n") == row["prompt"] + row["completion"] + real.eos_token


def test_share_without_system_turn(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", *many(600))
    for share in (0, 0.3, 1):
        info = prepare_data.prepare(data, tmp_path / "out", Preparation(plain_share=share))
        assert info["counts"]["with system turn"] / 600 == pytest.approx(1 - share, abs=0.06)
        prompts = [row["prompt"] for split in rows(tmp_path / "out").values() for row in split]
        assert sum(qmd.SYSTEM_PROMPT in prompt for prompt in prompts) == info["counts"]["with system turn"]


def test_more_data_moves_no_example_between_splits(tmp_path: Path) -> None:
    prepare_data.prepare(write(tmp_path / "x.jsonl", *many(300)), tmp_path / "a")
    prepare_data.prepare(write(tmp_path / "x.jsonl", *many(300, 300), *many(300)), tmp_path / "b")
    small, large = rows(tmp_path / "a"), rows(tmp_path / "b")
    assert 10 <= len(small["val"]) <= 60
    for split in ("train", "val"):
        assert {row["query"] for row in small[split]} <= {row["query"] for row in large[split]}
        kept = {row["query"]: row for row in large[split]}
        assert all(kept[row["query"]] == row for row in small[split]), "nor its prompt"


def test_only_variants_stay_with_their_query(tmp_path: Path) -> None:
    pairs = [
        example
        for n in range(200)
        for example in (
            changed(f"{n} postgresql port"),
            changed(f"{n}  PostgreSQL port /only:lex", [["lex", "port x"]]),
        )
    ]
    prepare_data.prepare(write(tmp_path / "x.jsonl", *pairs), tmp_path / "out")
    places: dict[str, set[str]] = {}
    for split, found in rows(tmp_path / "out").items():
        for row in found:
            places.setdefault(row["query"].split()[0], set()).add(split)
    assert len(places) == 200
    assert all(len(splits) == 1 for splits in places.values())


def test_equal_queries_are_prepared_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "a.jsonl", GOOD, changed("POSTGRESQL  default port", OTHER["output"]))
    write(data / "b.jsonl", changed("ｐostgresql default port", OTHER["output"]), OTHER)
    info = prepare_data.prepare(data, tmp_path / "out")
    assert info["counts"]["duplicates"] == 2
    completions = {row["query"]: row["completion"] for split in rows(tmp_path / "out").values() for row in split}
    assert completions.keys() == {GOOD["query"], OTHER["query"]}
    assert completions[GOOD["query"]].startswith("hyde: Unless"), "the first one stays"


def test_dataset_info_tells_what_was_made_of_what(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    source = write(data / "a.jsonl", *many(20))
    out = tmp_path / "out"
    info = prepare_data.prepare(data, out)
    assert json.loads((out / "dataset_info.json").read_text()) == info
    assert info["sources"] == [
        {"file": "a.jsonl", "examples": 20, "sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
    ]
    for name, digest in info["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert info["counts"]["train"] + info["counts"]["val"] == 20
    assert prepare_data.prepare(data, tmp_path / "again") == info, "same data, same files"


def test_bad_data_leaves_the_prepared_files_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_data.prepare(write(tmp_path / "good.jsonl", *many(20)), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    bad = write(tmp_path / "bad.jsonl", *many(20, 50), "{")
    with pytest.raises(SchemaError, match=r"bad\.jsonl:21: "):
        prepare_data.prepare(bad, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    done = run("prepare_data.py", "--data", bad, "--output", out)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{bad}:21: ")
    assert done.stderr.count("\n") == 1


def test_prepare_command(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", *many(20))
    done = run("prepare_data.py", "--data", data, "--output", tmp_path / "out", "--val-share", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert info["parameters"]["val_share"] == 0.5
    assert f"{info['counts']['train']} train, {info['counts']['val']} val" in done.stdout
    assert info["data_hash"] in done.stdout


def test_prepare_command_refuses_shares_outside_0_to_1(tmp_path: Path) -> None:
    done = run(
        "prepare_data.py", "--data", write(tmp_path / "x.jsonl", GOOD), "--output", tmp_path / "o", "--val-share", "2"
    )
    assert done.returncode == 2
    assert "val_share is 2.0" in done.stderr


def test_what_was_prepared_is_read_as_it_was_written(tmp_path: Path) -> None:
    info = prepare_data.prepare(write(tmp_path / "x.jsonl", *many(30)), tmp_path / "out", Preparation(plain_share=0.5))
    assert prepare_data.read_prepared(tmp_path / "out") == (rows(tmp_path / "out"), info)


def _describe(folder: Path, info: dict) -> None:
    """Make dataset_info.json say what the files are, whoever wrote them."""
    for name in info["files"]:
        info["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        info["counts"][name.removesuffix(".jsonl")] = len((folder / name).read_bytes().splitlines())
    info["data_hash"] = prepare_data.combined_hash(
        {split: info["files"][f"{split}.jsonl"] for split in ("train", "val")}
    )
    (folder / "dataset_info.json").write_text(json.dumps(info))


PREPARED = {
    "query": "postgresql default port",
    "prompt": qmd.chatml_prompt("postgresql default port"),
    "completion": "lex: postgresql 5432\nvec: the tcp port on which postgresql listens\n",
}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "expand this"}, "the prompt is not the one that QMD"),
        ({"prompt": qmd.chatml_prompt("another query")}, "the prompt is not the one that QMD"),
        ({"completion": "lex: postgresql 5432"}, "not made of whole hyde, lex and vec lines"),
        ({"completion": "sure!\nlex: postgresql 5432\n"}, "not made of whole hyde, lex and vec lines"),
        ({"completion": "lex: <|im_end|>\n"}, "chat-template token"),
        ({"completion": ""}, "output is empty"),
        ({"completion": 5}, "have to be strings"),
        ({"query": 5}, "have to be strings"),
    ],
)
def test_prepared_rows_that_nobody_prepared_are_refused(row: dict, says: str, tmp_path: Path) -> None:
    prepare_data.prepare(write(tmp_path / "x.jsonl", GOOD), tmp_path / "out")
    (tmp_path / "out" / "train.jsonl").write_text(
        json.dumps(PREPARED) + "\n" + json.dumps({**PREPARED, **row}) + "\n", encoding="utf-8"
    )
    noted = tmp_path / "out" / "dataset_info.json"
    info = json.loads(noted.read_text())
    with pytest.raises(SchemaError, match=r"train\.jsonl: is not the file that dataset_info\.json describes"):
        prepare_data.read_prepared(tmp_path / "out")
    _describe(tmp_path / "out", info)
    with pytest.raises(SchemaError, match=rf"train\.jsonl:2: .*{says}"):
        prepare_data.read_prepared(tmp_path / "out")


def test_prepared_files_have_to_be_those_described(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    info = prepare_data.prepare(write(tmp_path / "x.jsonl", *many(20)), folder)
    for key, value in (("data_hash", "0"), ("counts", {}), ("parameters", 3)):
        (folder / "dataset_info.json").write_text(json.dumps({**info, key: value}))
        with pytest.raises(SchemaError, match=r"dataset_info\.json: is not what prepare_data\.py writes"):
            prepare_data.read_prepared(folder)
    older = {key: value for key, value in info["parameters"].items() if key != "hyde_lines"}
    (folder / "dataset_info.json").write_text(json.dumps({**info, "parameters": older}))
    with pytest.raises(SchemaError, match=r"is of an older version of prepare_data\.py: prepare the data again"):
        prepare_data.read_prepared(folder)
    (folder / "dataset_info.json").write_text(json.dumps({**info, "counts": {**info["counts"], "train": 5}}))
    with pytest.raises(SchemaError, match="counts 5 rows of train"):
        prepare_data.read_prepared(folder)
    (folder / "train.jsonl").write_bytes(b"")
    _describe(folder, info)
    with pytest.raises(SchemaError, match="leaves no example to train on"):
        prepare_data.read_prepared(folder)


def test_a_folder_that_says_nothing_of_itself_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(SchemaError, match=r"dataset_info\.json: is not what prepare_data\.py writes"):
        prepare_data.read_prepared(tmp_path)


# --- score_data.py -------------------------------------------------------------------------------------

POOR = changed("kubernetes", [["lex", "kubernetes tutorial guide"], ["vec", "how to kubernetes step by step"]])


def test_scores_come_with_place_and_reasons(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", GOOD, POOR)
    good, poor = score_data.score_files([path])
    assert good.percentage > 80 > 20 > poor.percentage
    assert (poor.path, poor.line) == (path, 2)
    assert any("filler" in why for why in poor.deductions)


def test_min_score_is_a_gate(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", GOOD, POOR, OTHER)
    done = run("score_data.py", path, "--min-score", 70, "--worst", 0)
    assert done.returncode == 1
    assert f"{path}:2: " in done.stdout
    assert f"{path}:1: " not in done.stdout
    assert run("score_data.py", path, "--min-score", 0).returncode == 0


def test_score_tables_go_by_file_and_category(tmp_path: Path) -> None:
    done = run("score_data.py", write(tmp_path / "x.jsonl", GOOD, {**POOR, "category": "clusters"}))
    assert done.returncode == 0
    for name in ("x.jsonl", "reference", "clusters", "Excellent", "Failed"):
        assert name in done.stdout


@pytest.mark.parametrize("script", ["score_data.py", "analyze_data.py"])
def test_tools_refuse_bad_and_empty_data(script: str, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", GOOD, "{")
    done = run(script, bad)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{bad}:2: ")
    assert done.stderr.count("\n") == 1
    done = run(script, write(tmp_path / "empty.jsonl"))
    assert (done.returncode, done.stderr) == (2, "no examples\n")


@pytest.mark.parametrize(
    ("script", "arguments"),
    [("prepare_data.py", ["--data", "{data}", "--output", "{out}"]), ("score_data.py", ["{data}", "--worst", "0"])],
)
def test_tools_show_progress_on_a_terminal(script: str, arguments: list[str], tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", *many(50))
    arguments = [argument.format(data=data, out=tmp_path / "out") for argument in arguments]
    terminal, ours = pty.openpty()
    done = subprocess.run(
        [sys.executable, ROOT / "dataset" / script, *arguments],
        stdout=subprocess.PIPE,
        stderr=ours,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(ours)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert done.returncode == 0, shown
    assert "examples: " in shown


def test_square_brackets_in_data_are_no_markup(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", {**GOOD, "category": "[/red]"})
    for script in ("score_data.py", "analyze_data.py"):
        done = run(script, data, *(["--png", tmp_path / "x.png"] if script.startswith("analyze") else []))
        assert done.returncode == 0, done.stderr
        assert "[/red]" in done.stdout


def test_a_reader_that_stops_early_is_no_failure(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", *({**GOOD, "query": f"{n} postgresql port"} for n in range(3000)))
    command = f"'{sys.executable}' '{ROOT}/dataset/score_data.py' '{data}' --worst 3000 | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", GOOD)
    for option, value in (("--worst", "-1"), ("--min-score", "nan"), ("--min-score", "700")):
        done = run("score_data.py", data, option, value)
        assert done.returncode == 2, (option, value)
        assert option in done.stderr


def test_outputs_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", GOOD)
    file = tmp_path / "file"
    file.write_text("")
    for done in (
        run("prepare_data.py", "--data", data, "--output", file / "out"),
        run("analyze_data.py", data, "--png", file / "a.png"),
    ):
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert str(file) in done.stderr


def test_prepare_never_overwrites_its_source(tmp_path: Path) -> None:
    source = write(tmp_path / "train.jsonl", GOOD)
    before = source.read_bytes()
    done = run("prepare_data.py", "--data", tmp_path, "--output", tmp_path)
    assert done.returncode == 2
    assert "needs a folder of its own" in done.stderr
    assert source.read_bytes() == before


def test_an_evaluation_query_of_this_repository_is_kept_out(tmp_path: Path) -> None:
    asked = load_queries(ROOT / "evals" / "queries.txt")[3].text
    done = run("validate_schema.py", write(tmp_path / "x.jsonl", changed(asked, [["lex", asked], ["vec", asked]])))
    assert done.returncode == 2
    assert "of queries.txt" in done.stderr


# --- analyze_data.py -----------------------------------------------------------------------------------


def example(query: str, **lines: list[str]) -> TrainingExample:
    return TrainingExample(query=query, output=[(kind, text) for kind, texts in lines.items() for text in texts])


def test_analysis_of_known_data() -> None:
    data = [
        example("a", hyde=["the quick brown fox jumps over a"], lex=["a fox", "a b c d"], vec=["what is the a for"]),
        example("how to b", lex=["b"], vec=["how to do b well then", "what is the b then"]),
        example("c /only:lex", lex=["c guide x"]),
    ]
    analysis = analyze_data.analyze(data)
    assert analysis["examples"] == 3
    assert analysis["terms a lex line"] == {1: 1, 2: 1, 3: 1, 4: 1}
    assert analysis["only modes"] == {"none": 2, "lex": 1}
    figures = analysis["figures"]
    assert figures["lex lines of at most 3 terms"] == 0.75
    assert figures["longest lex line, terms"] == 4
    assert figures["examples with a lex line that stands in their hyde"] == 1.0
    assert figures["lex lines with filler"] == 1
    assert figures["needless how to, share of examples"] == 0.0
    assert figures["examples without hyde"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("lex", "share"),
    [
        (["redis eviction", "eviction policies", "redis maxmemory"], 1.0),
        (["redis eviction", "redis maxmemory", "eviction lru"], 0.0),
    ],
)
def test_two_lex_lines_of_the_query_s_own_words(lex: list[str], share: float) -> None:
    data = [example("which eviction policy does redis use", lex=lex), example("redis lru", lex=["redis lfu"])]
    assert analyze_data.share_with_own_pairs(data) == share, "a query of two words has no pair but itself"


def test_templates_leave_fingerprints() -> None:
    data = [
        example(
            f"topic{n}",
            hyde=[f"Topic{n} is a thing that many people use"],
            lex=[f"topic{n} x"],
            vec=[f"how to set up topic{n}"],
        )
        for n in range(30)
    ]
    figures = analyze_data.analyze(data)["figures"]
    assert figures["needless how to, share of examples"] == 1.0
    assert figures["distinct-2 of hydes"] < 0.4
    assert figures["near copies among sentences"] > 100
    texts = [f"{n} how to set up and run" for n in range(3)]
    assert analyze_data.repeated_ngrams(texts).most_common(1)[0][1] == 3
    assert analyze_data.openings(["how to set up x", "how to set up y", "how to set up"]) == {"how to set up": 2}


@pytest.mark.parametrize(
    ("lex", "text", "stands"),
    [
        ("mutex deadlock", "A deadlock follows when two threads wait for each other's mutex.", True),
        ("locks thread", "The thread locked the row.", True),
        ("mutex semaphore", "A deadlock follows when two threads wait for a mutex.", False),
        ('"row lock"', "It takes a row lock.", True),
        ("备份 恢复", "备份之后可以恢复。", True),
    ],
)
def test_stands_in(lex: str, text: str, stands: bool) -> None:
    assert analyze_data.stands_in(lex, text) == stands


def test_analyze_command_draws_and_writes(tmp_path: Path) -> None:
    data = write(tmp_path / "x.jsonl", GOOD, OTHER)
    done = run("analyze_data.py", data, "--png", tmp_path / "plots" / "a.png", "--json", tmp_path / "a.json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plots" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "a.json").read_text())["examples"] == 2
    assert "distinct-2 of hydes" in done.stdout


# --- The data of this repository -----------------------------------------------------------------------


def test_the_data_keeps_the_rules() -> None:
    done = run("validate_schema.py")
    assert done.returncode == 0, done.stderr


def test_the_data_is_worth_training_on() -> None:
    done = run("score_data.py", "--min-score", 70, "--worst", 0)
    assert done.returncode == 0, done.stdout
    examples = load_examples(ROOT / "data")
    assert mean(reward.score(example.query, example.render()).percentage for example in examples) >= 90
    figures = analyze_data.analyze(examples)["figures"]
    assert figures["median terms a lex line"] == 2
    assert figures["lex lines of at most 3 terms"] >= 0.95
    assert figures["longest lex line, terms"] <= 4
    assert figures["examples with a lex line that stands in their hyde"] >= 0.85
    assert figures["longer queries with two lex lines of their own words"] >= 0.9
    assert figures["names of queries that stand in a lex line"] >= 0.98
    assert figures["lex lines with filler"] == 0
    assert figures["most frequent opening of vec, share"] <= 0.01
    assert figures["most frequent opening of hyde, share"] <= 0.01
    assert figures["distinct-2 of hydes"] >= 0.75
    assert figures["needless how to, share of examples"] <= 0.12


def test_the_data_is_of_all_kinds() -> None:
    files = {path.name: load_examples(path) for path in (ROOT / "data").glob("*.jsonl")}
    assert {name: len(found) for name, found in files.items() if not 100 <= len(found) <= 250} == {}
    examples = [example for found in files.values() for example in found]
    assert len(examples) >= 3000
    assert [example.query for example in examples if not example.category] == []
    languages = analyze_data.analyze(examples)["languages"]
    assert sum(count for language, count in languages.items() if language not in ("en", "?")) >= 600
    assert len(set(languages) - {"en", "?", "zh/ja"}) == 14
    only = Counter(qmd.split_mode(example.query)[1] for example in examples)
    assert min(only["lex"], only["vec"], only["hyde"]) >= 30
    assert 0.04 <= 1 - only[None] / len(examples) <= 0.06
