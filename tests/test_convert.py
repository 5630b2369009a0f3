"""GGUF files of every architecture, and that a wrong one is not called good."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gguf_files
import qmd
from convert_gguf import file_name
from expand import load_expander
from llama import LlamaExpander

ROOT = Path(__file__).resolve().parent.parent


def convert(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "convert_gguf.py", *map(str, arguments), "--check", "1"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("model", ["tiny_qwen3", "tiny_llama", "tiny_lfm2"])
def test_a_model_of_each_architecture(model: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.getfixturevalue(model)
    done = convert(source, "--quants", "q8_0,q4_k_m", "--output", tmp_path / "small")
    assert done.returncode == 0, done.stdout + done.stderr
    files = ["small-f16.gguf", "small-q4_k_m.gguf", "small-q8_0.gguf"]
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == [
        "Modelfile",
        "merged",
        "report.json",
        *files,
    ]
    reports = {row["quantisation"]: row for row in json.loads((tmp_path / "small" / "report.json").read_text())}
    assert reports["f16"]["same_tokens"] >= 0.95
    # Rows this short have no 4-bit form: llama.cpp takes a bigger one for them.
    assert reports["q4_k_m"]["megabytes"] <= reports["q8_0"]["megabytes"] < reports["f16"]["megabytes"]
    kinds = [LlamaExpander(tmp_path / "small" / name).llama.metadata["general.file_type"] for name in files]
    assert kinds == ["1", "15", "7"]  # llama.cpp's numbers of f16, q4_k_m and q8_0
    expander = LlamaExpander(tmp_path / "small" / "small-q8_0.gguf")
    reference = load_expander(source)
    for query in ("auth config", "Telegram 配置信息"):
        assert expander.prompt_tokens(query) == reference.prompt_tokens(query)
    assert expander.llama.token_eos() == reference.end
    ((_, generation),) = expander.generate(["auth config"], max_tokens=8)
    assert generation.text.startswith(("lex: ", "vec: ", "hyde: "))
    said = (tmp_path / "small" / "Modelfile").read_text()
    assert said.startswith("FROM ./small-q8_0.gguf\n")
    assert qmd.chatml_prompt("{{ .Prompt }}") in said


@pytest.mark.parametrize(
    ("model", "output", "name"),
    [
        ("outputs/sft/", "outputs/sft/gguf", "sft"),
        ("models/smollm2", "gguf", "smollm2"),
        ("owner/tuned@main", "gguf", "tuned"),
        ("outputs/sft", "my-expander", "my-expander"),
        ("outputs/sft", ".", ROOT.name),
    ],
)
def test_what_files_are_called(model: str, output: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert file_name(model, Path(output)) == name


def test_a_file_that_loses_too_much_is_not_kept(tiny_llama: Path, tmp_path: Path) -> None:
    # No two files differ by less than minus 101 points of 100.
    done = convert(tiny_llama, "--quants", "q8_0", "--output", tmp_path / "out", "--tolerance", "-101")
    assert done.returncode == 1
    assert "points less than f16, more than -101" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("loss", "passes"), [((5.5, -3.0, 14.0), True), ((5.5, 5.1, 6.0), False), ((-8.0, -9.0, -7.0), True)]
)
def test_a_loss_counts_where_it_is_sure(loss: tuple[float, float, float], passes: bool) -> None:
    assert gguf_files._passes(0.99, {"f16": (0.0, 0.0, 0.0), "q8_0": loss}, 5) == passes
    assert not gguf_files._passes(0.9, {"f16": (0.0, 0.0, 0.0)}, 5)


def test_a_model_that_ends_elsewhere_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llama, model)
    tokenizer = json.loads((model / "tokenizer_config.json").read_text())
    tokenizer["eos_token"] = "<|endoftext|>"
    (model / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    for name in ("config.json", "generation_config.json"):
        values = json.loads((model / name).read_text())
        (model / name).write_text(json.dumps({**values, "eos_token_id": 0}))
    done = convert(model, "--quants", "q8_0", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "generation ends at token 0, not at <|im_end|> (2)" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_adapters_are_merged_one_after_the_other(tiny_qwen3: Path, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(tiny_qwen3)
    for name, targets in (("sft", ["q_proj", "o_proj"]), ("grpo", ["v_proj"])):
        lora = LoraConfig(r=4, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
        adapted = get_peft_model(model, lora)
        adapted.save_pretrained(tmp_path / name)
        model = adapted.merge_and_unload()
    made = tmp_path / "made"
    made.mkdir()
    adapters = [str(tmp_path / name) for name in ("sft", "grpo")]
    gguf_files.make(str(tiny_qwen3), adapters, [], made)
    merged = AutoModelForCausalLM.from_pretrained(made / "merged").state_dict()
    for name, value in model.state_dict().items():
        assert torch.allclose(merged[name], value, atol=1e-5), name
    assert (made / "f16.gguf").stat().st_size > 0


def test_too_little_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(gguf_files.ConversionError, match=r"needs .* GB of disk, .* GB are free"):
        gguf_files._check_room(10**15, ["q8_0"], tmp_path)
    gguf_files._check_room(10**6, ["q8_0"], tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**18))
    with pytest.raises(gguf_files.ConversionError, match=r"needs .* GB of memory, .* GB are free"):
        gguf_files._check_room(10**15, ["q8_0"], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "--output: name a folder"),
        (["nowhere", "--output", "out"], "nowhere: no such folder"),
        (["a", "--base", "b"], "wants a model, or --base and --sft"),
        ([".", "--quants", "q3"], "--quants q3: unknown; there are q4_k_m, q5_k_m, q6_k, q8_0"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments: list[str], says: str, tmp_path: Path) -> None:
    arguments = [part if part != "out" else str(tmp_path / "out") for part in arguments]
    done = convert(*arguments)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []
