"""What the Hub answers to uploads to repositories.

First `preupload` says how each file is to travel. Large ones go ahead, over LFS or Xet; then a commit names them by
their sha256, and holds the small ones itself.
"""

import base64
import hashlib
import uuid

from starlette.responses import JSONResponse, Response

from .call import Call
from .refusal import Refusal
from .repo_routes import repo_url
from .store import LFS_SIZE, LFS_SUFFIXES


def preupload(call: Call) -> Response:
    repo = call.repo(write=True)
    files = repo.at(call["revision"]).files
    answers = []
    for asked in call.json["files"]:
        # A NUL byte tells binary from text, as git tells it.
        binary = b"\0" in base64.b64decode(asked["sample"])
        large = binary or asked["size"] >= LFS_SIZE or asked["path"].endswith(LFS_SUFFIXES)
        old = files.get(asked["path"])
        answers.append(
            {
                "path": asked["path"],
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": False,
                "oid": (old.sha256 if old.xet_hash else old.oid) if old else None,
            }
        )
    return JSONResponse({"files": answers})


def lfs_batch(call: Call) -> Response:
    """Say where each large file is to be sent, unless it is there already."""
    repo = call.repo(write=True)
    objects = []
    for asked in call.json["objects"]:
        answer = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] not in repo.contents:
            ticket = uuid.uuid4().hex  # stands for the signature of a storage URL: whoever has it may upload
            call.hub.uploads[ticket] = (repo, asked["oid"])
            answer["actions"] = {"upload": {"href": f"{call.hub.endpoint}/lfs-uploads/{ticket}"}}
        objects.append(answer)
    return JSONResponse({"transfer": "basic", "objects": objects})


def lfs_upload(call: Call) -> Response:
    if call["ticket"] not in call.hub.uploads:
        raise Refusal(403, "SignatureDoesNotMatch")
    repo, oid = call.hub.uploads[call["ticket"]]
    if hashlib.sha256(call.body).hexdigest() != oid:
        raise Refusal(400, "The SHA256 of the content does not match")
    repo.contents.add(repo.blobs.add(call.body))
    return Response()


def lfs_duplicate(call: Call) -> Response:
    """Let another repository use large files of this one; copying from one to the other begins so."""
    held, target = call.repo().contents, call.json["target"]
    asked = {file["sha256"] for file in call.json["files"]}
    call.repo_of(target["type"], target["name"], write=True).contents.update(asked & held)
    failed = [{"sha256": sha256, "error": "not found"} for sha256 in sorted(asked - held)]
    return JSONResponse({"failed": failed})


def xet_write_token(call: Call) -> Response:
    return call.xet_token(call.repo(write=True).new_upload_store())


def xet_read_token(call: Call) -> Response:
    repo = call.repo()
    files = repo.at(call["revision"]).files.values()
    return call.xet_token(repo.blobs.new_download_store(file.sha256 for file in files if file.xet_hash))


def commit(call: Call) -> Response:
    repo = call.repo(write=True)
    if call.flag("create_pr"):
        raise Refusal(501, "The stand-in Hub has no pull requests")
    lines = [(line["key"], line["value"]) for line in call.json_lines]
    (first, header), operations = lines[0], lines[1:]
    if first != "header":
        raise Refusal(400, "The first line of a commit has to be its header")
    made = repo.commit(call["revision"], header, operations, call.signed_in().user)
    url = f"{repo_url(call, repo.kind, repo.id)}/commit/{made.id}"
    return JSONResponse({"success": True, "commitOid": made.id, "commitUrl": url})


_API = "/api/{kind:kind}/{owner}/{name}"

ROUTES = [
    ("POST", _API + "/preupload/{revision}", preupload),
    ("POST", _API + "/commit/{revision}", commit),
    # See repo_routes.py for the order.
    ("POST", "/{kind:kind}/{owner}/{name}.git/info/lfs/objects/batch", lfs_batch),
    ("POST", "/{owner}/{name}.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", "/lfs-uploads/{ticket}", lfs_upload),
    ("POST", _API + "/lfs-files/duplicate", lfs_duplicate),
    ("GET", _API + "/xet-write-token/{revision}", xet_write_token),
    ("GET", _API + "/xet-read-token/{revision}", xet_read_token),
]
