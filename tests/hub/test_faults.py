"""Each way in which the stand-in Hub fails on demand, and what the real client makes of it."""

import logging

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, constants
from huggingface_hub.errors import HfHubHTTPError

from .conftest import HubForTests

REPO = "tester/tiny"
LARGE = b"\0\1\2" * 100_000


def commit(hub: HubForTests, content: bytes = b"a") -> str:
    """Commit a file and return the commit's id."""
    return hub.api().create_commit(REPO, [CommitOperationAdd("a.bin", content)], commit_message="test").oid


def count(hub: HubForTests, part: str) -> int:
    """How many requests had this in their path."""
    return sum(part in path for _, path in hub.requests)


@pytest.fixture
def before(hub: HubForTests) -> str:
    """The commit at which the only repository is."""
    hub.api().create_repo(REPO)
    return hub.api().model_info(REPO).sha


@pytest.mark.parametrize("kind", ["rate limit", "server error", "drop", "drop after"])
def test_the_client_asks_again_before_it_has_changed_anything(hub: HubForTests, before: str, kind: str):
    hub.faults.add(kind, method="POST", path="/preupload/")
    made = commit(hub)
    assert (count(hub, "/preupload/"), count(hub, "/commit/"), hub.faults.waiting) == (2, 1, [])
    assert hub.api().model_info(REPO).sha == made != before


def test_the_client_waits_as_long_as_it_is_told(
    hub: HubForTests, before: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    hub.faults.add("rate limit", path="/preupload/", retry_after=1)
    with caplog.at_level(logging.WARNING, "huggingface_hub"):
        commit(hub)
    assert "Rate limited. Waiting 2.0s" in caplog.text


@pytest.mark.parametrize(("kind", "status"), [("rate limit", "429"), ("server error", "503"), ("conflict", "412")])
def test_a_commit_that_is_refused_changes_nothing(hub: HubForTests, before: str, kind: str, status: str):
    hub.faults.add(kind, path="/commit/")
    with pytest.raises(HfHubHTTPError, match=status):
        commit(hub)
    assert hub.api().model_info(REPO).sha == before
    assert commit(hub) != before


def test_a_commit_whose_connection_is_dropped_changes_nothing(hub: HubForTests, before: str):
    hub.faults.add("drop", path="/commit/")
    with pytest.raises(httpx2.TransportError):
        commit(hub)
    assert hub.api().model_info(REPO).sha == before


def test_a_commit_whose_answer_is_lost_is_made(hub: HubForTests, before: str):
    hub.faults.add("drop after", path="/commit/")
    with pytest.raises(httpx2.TransportError):
        commit(hub)
    assert [info.title for info in hub.api().list_repo_commits(REPO)] == ["test", "initial commit"]


def test_an_upload_that_is_cut_is_sent_again(hub: HubForTests, before: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # what travels over Xet can't be cut here
    hub.faults.add("drop", method="PUT", path="/lfs-uploads/")
    commit(hub, LARGE)
    assert count(hub, "/lfs-uploads/") == 2
    (file,) = hub.api().get_paths_info(REPO, "a.bin")
    assert file.size == len(LARGE)


def test_an_upload_that_is_refused_fails_before_the_commit(
    hub: HubForTests, before: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.faults.add("conflict", method="PUT", path="/lfs-uploads/")
    with pytest.raises(RuntimeError, match="Error while uploading"):
        commit(hub, LARGE)
    assert (count(hub, "/commit/"), hub.api().model_info(REPO).sha) == (0, before)


def test_a_token_is_revoked_in_the_middle(hub: HubForTests, before: str):
    hub.faults.add("revoked", path="/commit/")
    with pytest.raises(HfHubHTTPError, match="401"):
        commit(hub, b"c")
    with pytest.raises(HfHubHTTPError, match="401"):
        hub.api().model_info(REPO)
    assert hub.api(token=False).model_info(REPO).sha == before


def test_a_fault_meets_what_it_was_meant_for(hub: HubForTests, before: str):
    hub.faults.add("server error", method="GET", path="/commit/")
    hub.faults.add("server error", path="/another-path/")
    commit(hub)
    assert len(hub.faults.waiting) == 2
    with pytest.raises(ValueError, match="no such fault"):
        hub.faults.add("flood")


def test_a_fault_can_wait_for_a_later_request(hub: HubForTests, before: str):
    hub.faults.add("revoked", path="/commit/", skip=1)
    commit(hub, b"b")
    with pytest.raises(HfHubHTTPError, match="401"):
        commit(hub)


def test_tokens_are_in_no_log(hub: HubForTests, before: str, caplog: pytest.LogCaptureFixture):
    # Everything that is logged in this process: the server's own, starlette's and uvicorn's, at every level.
    with caplog.at_level(logging.DEBUG):
        hub.faults.add("drop", path="/commit/")
        with pytest.raises(httpx2.TransportError):
            commit(hub)
        with pytest.raises(HfHubHTTPError):
            hub.api("hf_never_given").whoami()
    assert "/api/whoami-v2" in caplog.text
    for token in (hub.token, "hf_never_given"):
        assert token not in caplog.text + str(hub.requests) + str(hub.problems)
