"""The stand-in Hub's repositories and buckets, asked by the real huggingface_hub and the real `hf` command."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, get_session
from huggingface_hub.errors import (
    BucketNotFoundError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .conftest import HubForTests

REPO = "tester/tiny"
LARGE = b"\0\1\2" * 1000  # binary, so that it does not travel within the commit


def commit(api: HfApi, files: dict[str, bytes], **options: str) -> str:
    """Commit files and return the commit's id."""
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    return api.create_commit(REPO, operations, commit_message="test", **options).oid


def content(api: HfApi, path: str, revision: str = "main") -> bytes:
    """A file's content, as a plain request gets it."""
    response = get_session().get(
        f"{api.endpoint}/{REPO}/resolve/{revision}/{path}", headers={"Authorization": f"Bearer {api.token}"}
    )
    response.raise_for_status()
    return response.content


def run_hf(hub: HubForTests, *arguments: str, **environment: str) -> str:
    """Run the `hf` command and return what it prints."""
    hf = Path(sys.executable).with_name("hf")
    done = subprocess.run([hf, *arguments], env=hub.environment(**environment), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_file_comes_back_as_it_was_uploaded(hub: HubForTests, tmp_path: Path, kind: str):
    api = hub.api()
    api.create_repo(REPO, repo_type=kind)
    for path, uploaded in (("notes/small.txt", b"small"), ("large.safetensors", LARGE)):
        api.upload_file(path_or_fileobj=uploaded, path_in_repo=path, repo_id=REPO, repo_type=kind)
        assert Path(api.hf_hub_download(REPO, path, repo_type=kind, local_dir=tmp_path)).read_bytes() == uploaded
    (large,) = api.get_paths_info(REPO, "large.safetensors", repo_type=kind)
    assert (large.size, large.lfs.sha256) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert set(api.list_repo_files(REPO, repo_type=kind)) == {".gitattributes", "notes/small.txt", "large.safetensors"}


@pytest.mark.parametrize(("disable_xet", "way"), [("0", "/xet-write-token/"), ("1", "/lfs-uploads/")])
def test_hf_uploads_and_downloads_a_folder(hub: HubForTests, tmp_path: Path, disable_xet: str, way: str):
    source, target = tmp_path / "source", tmp_path / "target"
    files = {"README.md": b"---\nlicense: mit\n---\n# Tiny\n", "weights/a.safetensors": LARGE, "empty.txt": b""}
    for path, uploaded in files.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(uploaded)
    run_hf(hub, "upload", REPO, str(source), ".", HF_HUB_DISABLE_XET=disable_xet)
    ways = {way for _, path in hub.requests for way in ("/xet-write-token/", "/lfs-uploads/") if way in path}
    assert ways == {way}
    run_hf(hub, "download", REPO, "--local-dir", str(target), HF_HUB_DISABLE_XET=disable_xet)
    for path, uploaded in files.items():
        assert (target / path).read_bytes() == uploaded
    assert hub.api().model_info(REPO).card_data.license == "mit"


def test_what_is_uploaded_again_unchanged_makes_no_commit(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    first = commit(api, {"a.txt": b"a", "a.bin": LARGE})
    assert commit(api, {"a.txt": b"a", "a.bin": LARGE}) == first
    assert [info.title for info in api.list_repo_commits(REPO)] == ["test", "initial commit"]


def test_listings_come_in_pages(hub: HubForTests):
    hub.page_size = 3
    api = hub.api()
    api.create_repo(REPO)
    commit(api, {f"folder/{number}.txt": b"x" for number in range(7)})
    hub.requests.clear()
    tree = list(api.list_repo_tree(REPO, recursive=True, expand=True))
    assert [entry.path for entry in tree] == [".gitattributes", "folder", *(f"folder/{n}.txt" for n in range(7))]
    assert len(hub.requests) == 3
    assert {entry.last_commit.title for entry in tree[2:]} == {"test"}
    assert [entry.path for entry in api.list_repo_tree(REPO)] == [".gitattributes", "folder"]
    for number in range(3):
        commit(api, {"count.txt": str(number).encode()})
    hub.requests.clear()
    assert len(api.list_repo_commits(REPO)) == 5
    assert len(hub.requests) == 2


def test_part_of_a_file(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    id = commit(api, {"a.bin": LARGE})
    url, headers = f"{hub.endpoint}/{REPO}/resolve/main/a.bin", {"Authorization": f"Bearer {hub.token}"}
    part = get_session().get(url, headers=headers | {"Range": "bytes=1-4"})
    assert (part.status_code, part.content) == (206, LARGE[1:5])
    head = get_session().head(url, headers=headers)
    assert (head.content, head.headers["X-Linked-Size"], head.headers["X-Repo-Commit"]) == (b"", str(len(LARGE)), id)


def test_a_branch_leaves_main_alone(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    first = commit(api, {"a.txt": b"first"})
    commit(api, {"a.txt": b"second"})
    api.create_branch(REPO, branch="release/1", revision=first)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_branch(REPO, branch="release/1")
    api.create_branch(REPO, branch="release/1", exist_ok=True)
    commit(api, {"b.txt": b"b"}, revision="release/1")
    assert content(api, "a.txt", "release%2F1") == b"first"
    assert "b.txt" not in api.list_repo_files(REPO)
    assert {branch.name for branch in api.list_repo_refs(REPO).branches} == {"main", "release/1"}
    api.delete_branch(REPO, branch="release/1")
    with pytest.raises(RevisionNotFoundError):
        commit(api, {"b.txt": b"b"}, revision="release/1")


def test_a_tag_stays_where_it_was_put(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    commit(api, {"a.txt": b"first"})
    api.create_tag(REPO, tag="v1")
    commit(api, {"a.txt": b"second"})
    assert content(api, "a.txt", "v1") == b"first"
    api.delete_tag(REPO, tag="v1")
    assert api.list_repo_refs(REPO).tags == []


def test_an_older_state_is_brought_back_by_copying(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    old = commit(api, {"a.bin": LARGE, "a.txt": b"old"})
    commit(api, {"a.bin": LARGE + b"new", "a.txt": b"new", "extra.txt": b"new"})
    hub.requests.clear()
    copies = [CommitOperationCopy(path, path, src_revision=old) for path in ("a.bin", "a.txt")]
    api.create_commit(REPO, [*copies, CommitOperationDelete("extra.txt")], commit_message="back")
    assert not [path for _, path in hub.requests if "xet" in path or "lfs" in path]
    assert (content(api, "a.bin"), content(api, "a.txt")) == (LARGE, b"old")
    assert set(api.list_repo_files(REPO)) == set(api.list_repo_files(REPO, revision=old))


def test_a_large_file_is_copied_from_another_repository(hub: HubForTests):
    api = hub.api()
    api.create_repo("tester/staging")
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=LARGE, path_in_repo="a.bin", repo_id="tester/staging")
    copy = CommitOperationCopy("a.bin", "b.bin", src_repo_id="tester/staging", src_repo_type="model")
    api.create_commit(REPO, [copy], commit_message="promote")
    assert content(api, "b.bin") == LARGE


def test_a_folder_is_deleted(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    commit(api, {"old/a.txt": b"a", "older.txt": b"b"})
    api.delete_folder("old", REPO)
    assert set(api.list_repo_files(REPO)) == {".gitattributes", "older.txt"}


def test_a_commit_is_refused_when_another_came_between(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    parent = commit(api, {"a.txt": b"1"})
    newest = commit(api, {"a.txt": b"2"}, parent_commit=parent)
    with pytest.raises(HfHubHTTPError, match="412"):
        commit(api, {"a.txt": b"3"}, parent_commit=parent)
    assert (api.model_info(REPO).sha, content(api, "a.txt")) == (newest, b"2")


def test_a_commit_is_made_whole_or_not_at_all(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    before = api.model_info(REPO).sha
    operations = [CommitOperationAdd("a.txt", b"a"), CommitOperationDelete("missing.txt")]
    with pytest.raises(RemoteEntryNotFoundError, match="doesn't exist"):
        api.create_commit(REPO, operations, commit_message="test")
    assert api.model_info(REPO).sha == before
    assert api.list_repo_files(REPO) == [".gitattributes"]


@pytest.mark.parametrize("path", ["../a.txt", "/a.txt", "a/../b.txt"])
def test_a_path_that_leads_out_is_refused(hub: HubForTests, path: str):
    hub.api().create_repo(REPO)
    lines = [
        {"key": "header", "value": {"summary": "test"}},
        {"key": "file", "value": {"path": path, "content": "", "encoding": "base64"}},
    ]
    assert post_commit(hub, lines).status_code == 400


def post_commit(hub: HubForTests, lines: list[dict]):
    """What no client would send."""
    return get_session().post(
        f"{hub.endpoint}/api/models/{REPO}/commit/main",
        content="\n".join(json.dumps(line) for line in lines),
        headers={"Authorization": f"Bearer {hub.token}"},
    )


def test_a_large_file_that_was_not_uploaded_is_refused(hub: HubForTests):
    api = hub.api()
    for repo in (REPO, "tester/other"):
        api.create_repo(repo)
    # Uploaded to another repository only: that does not count.
    api.upload_file(path_or_fileobj=LARGE, path_in_repo="a.bin", repo_id="tester/other")
    oid = hashlib.sha256(LARGE).hexdigest()
    lines = [
        {"key": "header", "value": {"summary": "test"}},
        {"key": "lfsFile", "value": {"path": "a.bin", "algo": "sha256", "oid": oid, "size": len(LARGE)}},
    ]
    answer = post_commit(hub, lines)
    assert (answer.status_code, api.list_repo_files(REPO)) == (400, [".gitattributes"])
    assert oid in answer.json()["error"]


def test_a_large_file_that_arrives_damaged_is_refused(hub: HubForTests):
    hub.api().create_repo(REPO)
    oid = hashlib.sha256(LARGE).hexdigest()
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": len(LARGE)}]}
    url, headers = f"{hub.endpoint}/{REPO}.git/info/lfs/objects/batch", {"Authorization": f"Bearer {hub.token}"}
    (answer,) = get_session().post(url, json=asked, headers=headers).json()["objects"]
    upload = answer["actions"]["upload"]["href"]
    assert get_session().put(upload, content=LARGE[:-1]).status_code == 400
    assert get_session().put(upload, content=LARGE).status_code == 200
    (answer,) = get_session().post(url, json=asked, headers=headers).json()["objects"]
    assert "actions" not in answer


def test_a_card_with_bad_metadata_is_refused(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        commit(api, {"README.md": b"---\nlicense: [mit\n---\n"})


def test_what_is_not_there(hub: HubForTests, tmp_path: Path):
    api = hub.api()
    api.create_repo(REPO)
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download(REPO, "missing.txt", local_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(REPO, ".gitattributes", revision="fehlt-völlig", local_dir=tmp_path)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "missing"))
    with pytest.raises(RepositoryNotFoundError, match="404"):
        api.model_info("tester/missing")
    with pytest.raises(RepositoryNotFoundError, match="401"):
        hub.api(token=False).model_info("tester/missing")


def test_a_repository_is_made_once_and_deleted_once(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)
    api.create_repo(REPO, exist_ok=True)
    api.create_repo(REPO, repo_type="dataset")  # another one, in spite of the name
    api.delete_repo(REPO)
    assert (api.repo_exists(REPO), api.repo_exists(REPO, repo_type="dataset")) == (False, True)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(REPO)


def test_who_may_see_and_write(hub: HubForTests):
    owner, other = hub.api(), hub.api(hub.add_token("somebody", "write"))
    reader, nobody = hub.api(hub.add_token("tester", "read")), hub.api(token=False)
    owner.create_repo(REPO, private=True)
    assert reader.model_info(REPO).private
    for stranger, status in ((other, "404"), (nobody, "401")):
        with pytest.raises(RepositoryNotFoundError, match=status):
            stranger.model_info(REPO)
    owner.update_repo_settings(REPO, private=False)
    for anybody in (other, nobody):
        assert anybody.model_info(REPO).id == REPO
    for stranger, status in ((other, "403"), (reader, "403"), (nobody, "401")):
        with pytest.raises(HfHubHTTPError, match=status):
            commit(stranger, {"a.txt": b"a"})
        with pytest.raises(HfHubHTTPError, match=status):
            stranger.create_repo("tester/another")
    assert owner.list_repo_files(REPO) == [".gitattributes"]


def test_a_token_says_who_asks_until_it_is_revoked(hub: HubForTests):
    answer = hub.api().whoami()
    assert (answer["name"], answer["auth"]["accessToken"]["role"]) == ("tester", "write")
    hub.api().create_repo(REPO)
    hub.revoke(hub.token)
    for token in (hub.token, "hf_never_given"):
        with pytest.raises(HfHubHTTPError, match="401") as refused:
            hub.api(token).model_info(REPO)
        # The repository is there and public: it is the token that is wrong, and the client is told so.
        assert not isinstance(refused.value, RepositoryNotFoundError)


def test_a_bucket_keeps_what_is_put_there(hub: HubForTests, tmp_path: Path):
    hub.page_size = 2
    api, bucket = hub.api(), "tester/things"
    api.create_bucket(bucket)
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_bucket(bucket)
    files = {"a.txt": b"a", "in/b.bin": LARGE, "in/c.txt": b"c"}
    api.batch_bucket_files(bucket, add=[(uploaded, path) for path, uploaded in files.items()])
    assert [entry.path for entry in api.list_bucket_tree(bucket, recursive=True)] == list(files)
    assert [entry.path for entry in api.list_bucket_tree(bucket)] == ["a.txt", "in"]
    assert [entry.path for entry in api.list_bucket_tree(bucket, prefix="in")] == ["in/b.bin", "in/c.txt"]
    api.download_bucket_files(bucket, [(path, tmp_path / path) for path in files])
    assert {path: (tmp_path / path).read_bytes() for path in files} == files
    (large,) = api.get_bucket_paths_info(bucket, ["in/b.bin", "missing"])
    copy = ("bucket", bucket, large.xet_hash, "copy.bin")
    api.batch_bucket_files(bucket, copy=[copy], delete=["a.txt", "in/b.bin", "in/c.txt"])
    info = api.bucket_info(bucket)
    assert (info.total_files, info.size) == (1, len(LARGE))
    assert hub.api(token=False).bucket_info(bucket).id == bucket
    api.create_bucket("tester/private", private=True)
    with pytest.raises(BucketNotFoundError):
        hub.api(token=False).bucket_info("tester/private")
    api.delete_bucket(bucket)
    with pytest.raises(BucketNotFoundError):
        api.bucket_info(bucket)


def test_a_folder_is_synced_to_a_bucket_and_back(hub: HubForTests, tmp_path: Path):
    api = hub.api()
    api.create_bucket("tester/things")
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "in").mkdir(parents=True)
    (source / "in" / "a.txt").write_bytes(b"a")
    api.sync_bucket(str(source), "hf://buckets/tester/things/run")
    api.sync_bucket("hf://buckets/tester/things/run", str(target))
    assert (target / "in" / "a.txt").read_bytes() == b"a"


def test_a_bucket_refuses_what_was_not_uploaded_to_it(hub: HubForTests):
    api = hub.api()
    for bucket in ("tester/one", "tester/two"):
        api.create_bucket(bucket)
    api.batch_bucket_files("tester/one", add=[(b"secret", "a.txt")])
    (file,) = api.get_bucket_paths_info("tester/one", ["a.txt"])
    operation = {"type": "addFile", "path": "a.txt", "xetHash": file.xet_hash, "mtime": 0}
    answer = get_session().post(
        f"{hub.endpoint}/api/buckets/tester/two/batch",
        content=json.dumps(operation),
        headers={"Authorization": f"Bearer {hub.token}"},
    )
    assert answer.status_code == 422
    assert list(api.list_bucket_tree("tester/two")) == []


def test_what_is_not_written_does_not_pass_unseen(hub: HubForTests):
    # A path, and a method of a path, that the stand-in does not know.
    for method, path in (("GET", "/api/models/tester/tiny/likers"), ("DELETE", "/api/whoami-v2")):
        assert get_session().request(method, hub.endpoint + path).status_code == 501
        assert [problem.split(":")[0] for problem in hub.problems] == [f"{method} {path}"]
        hub.problems.clear()  # or the fixture would fail this test


def test_pull_requests_are_refused(hub: HubForTests):
    api = hub.api()
    api.create_repo(REPO)
    operations = [CommitOperationAdd("a.txt", b"a")]
    with pytest.raises(HfHubHTTPError, match="501"):
        api.create_commit(REPO, operations, commit_message="test", create_pr=True)
    assert api.list_repo_files(REPO) == [".gitattributes"]


def test_a_commit_without_a_header_is_refused(hub: HubForTests):
    hub.api().create_repo(REPO)
    line = {"key": "file", "value": {"path": "a.txt", "content": "", "encoding": "base64"}}
    assert post_commit(hub, [line]).status_code == 400
