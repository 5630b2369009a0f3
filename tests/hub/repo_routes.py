"""What the Hub answers about repositories of models and data sets, uploads aside (`upload_routes.py`)."""

import hashlib
from typing import Any
from urllib.parse import parse_qs

import yaml
from starlette.responses import FileResponse, JSONResponse, Response

from .call import Call
from .refusal import Refusal
from .store import Commit, File, Repo, lfs_pointer


def whoami(call: Call) -> Response:
    account = call.signed_in()
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}}
    return JSONResponse(
        {"type": "user", "id": account.user, "name": account.user, "fullname": account.user, "orgs": [], "auth": token}
    )


def validate_yaml(call: Call) -> Response:
    """Check the metadata block of a README.md."""
    try:
        metadata = _card_data(call.json["content"])
    except yaml.YAMLError as error:
        return JSONResponse({"errors": [{"message": str(error)}], "warnings": []}, 400)
    warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
    return JSONResponse({"errors": [], "warnings": warnings})


def _card_data(readme: str) -> dict[str, Any] | None:
    parts = readme.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    metadata = yaml.safe_load(parts[1])
    if metadata is not None and not isinstance(metadata, dict):
        raise yaml.YAMLError("the metadata is no mapping")
    return metadata


def repo_url(call: Call, kind: str, id: str) -> str:
    return f"{call.hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{id}"


def _named(call: Call) -> tuple[str, str]:
    """Kind and id of the repository that a body names."""
    asked = call.json
    owner = asked.get("organization") or call.signed_in().user
    return asked.get("type") or "model", f"{owner}/{asked['name']}"


def create(call: Call) -> Response:
    kind, id = _named(call)
    if kind not in ("model", "dataset"):
        raise Refusal(501, f"The stand-in Hub has no repositories of kind {kind!r}")
    account = call.writer_in(id.split("/")[0])
    if (kind, id) in call.hub.store.repos:
        return JSONResponse({"error": f"You already created this {kind} repo", "url": repo_url(call, kind, id)}, 409)
    call.hub.store.create_repo(kind, id, call.json.get("visibility") == "private", account.user)
    return JSONResponse({"url": repo_url(call, kind, id), "name": id})


def delete(call: Call) -> Response:
    kind, id = _named(call)
    call.repo_of(kind, id, write=True)
    del call.hub.store.repos[kind, id]
    return JSONResponse({})


def settings(call: Call) -> Response:
    """Make a repository public or private."""
    call.repo(write=True).private = call.json["visibility"] == "private"
    return JSONResponse({})


def info(call: Call) -> Response:
    repo = call.repo()
    commit = repo.at(call["revision"] if "revision" in call.request.path_params else "main")
    readme = commit.files.get("README.md")
    card = _card_data(repo.blobs.path(readme.sha256).read_text(encoding="utf-8")) if readme else None
    siblings = []
    for path, file in commit.files.items():
        sibling: dict[str, Any] = {"rfilename": path}
        if call.flag("blobs"):
            entry = _file_entry(path, file)
            sibling |= {"size": file.size, "blobId": file.oid}
            if "lfs" in entry:
                sibling["lfs"] = entry["lfs"] | {"sha256": file.sha256}
        siblings.append(sibling)
    return JSONResponse(
        {
            "id": repo.id, "author": repo.owner, "sha": commit.id, "private": repo.private, "gated": False,
            "disabled": False, "createdAt": repo.created, "lastModified": commit.date, "downloads": 0, "likes": 0,
            "tags": (card or {}).get("tags") or [], "cardData": card, "siblings": siblings,
        }
    )  # fmt: skip


def _file_entry(path: str, file: File, commit: Commit | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    if file.xet_hash:
        pointer_size = len(lfs_pointer(file.sha256, file.size))
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": pointer_size}
        entry["xetHash"] = file.xet_hash
    if commit:
        entry["lastCommit"] = {"id": commit.id, "title": commit.title, "date": commit.date}
    return entry


def _folder_entry(path: str, commit: Commit) -> dict[str, Any]:
    oid = hashlib.sha1(f"{commit.id} {path}".encode()).hexdigest()
    return {"type": "directory", "path": path, "size": 0, "oid": oid}


def _entries(repo: Repo, commit: Commit, expand: bool) -> dict[str, dict[str, Any]]:
    """Every file and folder at a commit, by path."""
    entries = {}
    for path, file in sorted(commit.files.items()):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            entries[folder] = _folder_entry(folder, commit)
        entries[path] = _file_entry(path, file, repo.commits[file.changed_by] if expand else None)
    return entries


def tree(call: Call) -> Response:
    repo = call.repo()
    commit = repo.at(call["revision"])
    folder = call["path"].strip("/") if "path" in call.request.path_params else ""
    entries = _entries(repo, commit, call.flag("expand"))
    if folder and folder not in entries:
        message = f"{folder} does not exist on {call['revision']!r}"
        raise Refusal(404, message, "EntryNotFound", {"X-Repo-Commit": commit.id})
    start = folder + "/" if folder else ""
    inside = [entry for path, entry in entries.items() if path.startswith(start)]
    if not call.flag("recursive"):
        inside = [entry for entry in inside if "/" not in entry["path"][len(start) :]]
    return call.page(inside)


def paths_info(call: Call) -> Response:
    repo = call.repo()
    form = parse_qs(call.body.decode())
    entries = _entries(repo, repo.at(call["revision"]), form.get("expand") == ["true"])
    asked = [path.strip("/") for path in form.get("paths", [])]
    return JSONResponse([entries[path] for path in asked if path in entries])


def refs(call: Call) -> Response:
    repo = call.repo()
    branches, tags = (
        [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": id} for name, id in named.items()]
        for folder, named in (("heads", repo.branches), ("tags", repo.tags))
    )
    return JSONResponse({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})


def commits(call: Call) -> Response:
    return call.page(
        [
            {
                "id": commit.id, "title": commit.title, "message": commit.message,
                "authors": [{"user": commit.author}], "date": commit.date,
            }
            for commit in call.repo().history(call["revision"])
        ]
    )  # fmt: skip


def create_branch(call: Call) -> Response:
    repo = call.repo(write=True)
    if call["branch"] in repo.branches:
        raise Refusal(409, f"Reference already exists: {call['branch']}")
    repo.branches[call["branch"]] = repo.at(call.json.get("startingPoint", "main")).id
    return JSONResponse({})


def delete_branch(call: Call) -> Response:
    repo = call.repo(write=True)
    if call["branch"] == "main":
        raise Refusal(403, "The main branch can't be deleted")
    if repo.branches.pop(call["branch"], None) is None:
        raise Refusal(404, f"Invalid rev id: {call['branch']}", "RevisionNotFound")
    return JSONResponse({})


def create_tag(call: Call) -> Response:
    repo = call.repo(write=True)
    if call.json["tag"] in repo.tags:
        raise Refusal(409, f"Tag already exists: {call.json['tag']}")
    repo.tags[call.json["tag"]] = repo.at(call["revision"]).id
    return JSONResponse({})


def delete_tag(call: Call) -> Response:
    if call.repo(write=True).tags.pop(call["tag"], None) is None:
        raise Refusal(404, f"Invalid rev id: {call['tag']}", "RevisionNotFound")
    return JSONResponse({})


def resolve(call: Call) -> Response:
    """The content of a file. Starlette's FileResponse answers HEAD and Range."""
    repo = call.repo()
    commit = repo.at(call["revision"])
    headers = {"X-Repo-Commit": commit.id}
    file = commit.files.get(call["path"])
    if not file:
        raise Refusal(404, "Entry not found", "EntryNotFound", headers)
    headers["ETag"] = f'"{file.oid}"'
    if file.xet_hash:
        headers |= {
            "ETag": f'"{file.sha256}"',
            "X-Linked-Etag": f'"{file.sha256}"',
            "X-Linked-Size": str(file.size),
            "X-Xet-Hash": file.xet_hash,
            "X-Xet-Refresh-Route": f"{call.hub.endpoint}/api/{repo.kind}s/{repo.id}/xet-read-token/{commit.id}",
        }
    return FileResponse(repo.blobs.path(file.sha256), headers=headers, media_type="application/octet-stream")


_API = "/api/{kind:kind}/{owner}/{name}"

ROUTES = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("POST", "/api/repos/create", create),
    ("DELETE", "/api/repos/delete", delete),
    ("GET", _API, info),
    ("GET", _API + "/revision/{revision}", info),
    ("PUT", _API + "/settings", settings),
    ("GET", _API + "/tree/{revision}", tree),
    ("GET", _API + "/tree/{revision}/{path:path}", tree),
    ("POST", _API + "/paths-info/{revision}", paths_info),
    ("GET", _API + "/refs", refs),
    ("GET", _API + "/commits/{revision}", commits),
    ("POST", _API + "/branch/{branch}", create_branch),
    ("DELETE", _API + "/branch/{branch}", delete_branch),
    ("POST", _API + "/tag/{revision}", create_tag),
    ("DELETE", _API + "/tag/{tag}", delete_tag),
    # Outside /api the path of a model has no kind; that of a data set comes first, since it would fit the other too.
    ("GET", "/{kind:kind}/{owner}/{name}/resolve/{revision}/{path:path}", resolve),
    ("GET", "/{owner}/{name}/resolve/{revision}/{path:path}", resolve),
]
