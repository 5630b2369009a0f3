"""What the Hub answers about buckets: files without a history, which travel over Xet alone."""

from typing import Any

from starlette.responses import FileResponse, JSONResponse, Response

from .call import Call
from .refusal import Refusal
from .store import Bucket, BucketFile


def create(call: Call) -> Response:
    owner = call.signed_in().user if call["owner"] == "me" else call["owner"]
    call.writer_in(owner)
    id = f"{owner}/{call['name']}"
    answer = {"url": f"{call.hub.endpoint}/buckets/{id}", "name": id}
    if id in call.hub.store.buckets:
        return JSONResponse(answer | {"error": "You already created this bucket"}, 409)
    call.hub.store.buckets[id] = Bucket(id, call.hub.store.blobs, call.json.get("visibility") == "private")
    return JSONResponse(answer)


def delete(call: Call) -> Response:
    del call.hub.store.buckets[call.bucket(write=True).id]
    return JSONResponse({})


def info(call: Call) -> Response:
    bucket = call.bucket()
    size = sum(file.size for file in bucket.files.values())
    return JSONResponse(
        {
            "id": bucket.id, "private": bucket.private, "createdAt": bucket.created, "size": size,
            "totalFiles": len(bucket.files),
        }
    )  # fmt: skip


def batch(call: Call) -> Response:
    """Add, copy and delete files; what fails is listed, the rest is done."""
    bucket = call.bucket(write=True)
    failed = []
    for operation in call.json_lines:
        try:
            _apply(call, bucket, operation)
        except Refusal as refusal:
            failed.append({"path": operation["path"], "error": refusal.message})
    all_failed = len(failed) == len(call.json_lines)
    return JSONResponse({"success": not failed, "failed": failed}, 422 if all_failed else 200)


def _apply(call: Call, bucket: Bucket, operation: dict[str, Any]) -> None:
    path = operation["path"]
    if operation["type"] == "deleteFile":
        if bucket.files.pop(path, None) is None:
            raise Refusal(404, "File not found")
        return
    if operation["type"] == "addFile":
        bucket.take_in_uploads()
        held = bucket.contents
    else:
        kind, id = operation["sourceRepoType"], operation["sourceRepoId"]
        source = call.bucket_of(id) if kind == "bucket" else call.repo_of(kind, id)
        source.take_in_uploads()
        held = source.contents
    sha256 = call.hub.store.blobs.sha256_of(operation["xetHash"])
    if sha256 not in held:
        raise Refusal(404, f"Xet file {operation['xetHash']} was not uploaded")
    bucket.put(path, sha256, operation.get("mtime"))


def _entry(path: str, file: BucketFile) -> dict[str, Any]:
    return {
        "type": "file", "path": path, "size": file.size, "xetHash": file.xet_hash, "mtime": file.modified,
        "uploadedAt": file.uploaded,
    }  # fmt: skip


def tree(call: Call) -> Response:
    bucket = call.bucket()
    prefix = call["prefix"].rstrip("/") if "prefix" in call.request.path_params else ""
    start = prefix + "/" if prefix else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, file in sorted(bucket.files.items()):
        if path != prefix and not path.startswith(start):
            continue
        inner, _, rest = path[len(start) :].partition("/")
        if rest and not call.flag("recursive"):
            entries[start + inner] = {"type": "directory", "path": start + inner, "uploadedAt": file.uploaded}
        else:
            entries[path] = _entry(path, file)
    return call.page(list(entries.values()))


def paths_info(call: Call) -> Response:
    files = call.bucket().files
    return JSONResponse([_entry(path, files[path]) for path in call.json["paths"] if path in files])


def resolve(call: Call) -> Response:
    bucket = call.bucket()
    file = bucket.files.get(call["path"])
    if not file:
        raise Refusal(404, "Entry not found", "EntryNotFound")
    headers = {
        "ETag": f'"{file.xet_hash}"',
        "X-Xet-Hash": file.xet_hash,
        "X-Xet-Refresh-Route": f"{call.hub.endpoint}/api/buckets/{bucket.id}/xet-read-token",
    }
    return FileResponse(bucket.blobs.path(file.sha256), headers=headers, media_type="application/octet-stream")


def xet_write_token(call: Call) -> Response:
    return call.xet_token(call.bucket(write=True).new_upload_store())


def xet_read_token(call: Call) -> Response:
    bucket = call.bucket()
    return call.xet_token(bucket.blobs.new_download_store(file.sha256 for file in bucket.files.values()))


_API = "/api/buckets/{owner}/{name}"

ROUTES = [
    ("POST", _API, create),
    ("GET", _API, info),
    ("DELETE", _API, delete),
    ("POST", _API + "/batch", batch),
    ("GET", _API + "/tree", tree),
    ("GET", _API + "/tree/{prefix}", tree),
    ("POST", _API + "/paths-info", paths_info),
    ("GET", _API + "/xet-write-token", xet_write_token),
    ("GET", _API + "/xet-read-token", xet_read_token),
    ("GET", "/buckets/{owner}/{name}/resolve/{path:path}", resolve),
]
