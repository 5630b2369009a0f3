"""The contents of files, on disk by their sha256, and how they travel over Xet.

    blobs = Blobs(folder)
    sha256 = blobs.add(b"content")
    blobs.path(sha256).read_bytes()

Xet needs no server here: hf_xet takes `local:///folder` for an address and writes its chunks, and the shards that say
which chunks make up which file, straight into that folder. An upload gets a new folder of its own, since hf_xet keeps
those of its process open, and remembers what it has already sent there.
"""

import hashlib
import shutil
import struct
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import hf_xet

_RECORD = 48  # bytes of every record in a shard, and of the header before them
_VERIFICATION, _METADATA = 1 << 31, 1 << 30  # flags of a file's record: which other records follow
_LAST = b"\xff" * 32  # in place of a file's hash: no more files


def files_in_shard(shard: bytes) -> Iterator[str]:
    """Give the Xet hash of every file that a shard describes, in the order they stand in.

    A file is one record (hash, flags, number of segments), one for each segment, as many again for their verification
    and one of metadata, where the flags say so. A hash is written as four little-endian numbers of 8 bytes.
    """
    at = _RECORD
    while (raw := shard[at : at + 32]) != _LAST:
        flags, segments = struct.unpack_from("<II", shard, at + 32)
        yield "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))
        records = 1 + segments * (2 if flags & _VERIFICATION else 1) + (1 if flags & _METADATA else 0)
        at += records * _RECORD


class Blobs:
    """Contents by sha256; a content has a Xet hash as well."""

    def __init__(self, root: Path):
        self._contents = root / "contents"
        self._stores = root / "xet"  # the folders that hf_xet is sent to
        self._contents.mkdir(parents=True)
        self._sha256_of: dict[str, str] = {}  # by Xet hash
        self._taken: set[Path] = set()  # shards whose files have been taken in

    def add(self, content: bytes) -> str:
        """Keep a content and return its sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.path(sha256).write_bytes(content)
        return sha256

    def path(self, sha256: str) -> Path:
        """Where a content is kept."""
        return self._contents / sha256

    def xet_hash(self, sha256: str) -> str:
        """The Xet hash of a content, however it came."""
        xet_hash = hf_xet.hash_files([str(self.path(sha256))])[0].hash
        self._sha256_of[xet_hash] = sha256
        return xet_hash

    def sha256_of(self, xet_hash: str) -> str | None:
        """The sha256 of a content that is known by its Xet hash."""
        return self._sha256_of.get(xet_hash)

    def new_upload_store(self) -> Path:
        """An empty folder for hf_xet to upload to."""
        store = self._stores / uuid.uuid4().hex
        store.mkdir(parents=True)
        return store

    def new_download_store(self, contents: Iterable[str]) -> Path:
        """A folder from which hf_xet can download these contents."""
        store = self._stores / uuid.uuid4().hex
        with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{store}") as upload:
            for sha256 in contents:
                upload.start_upload_file(str(self.path(sha256)), sha256=hf_xet.SKIP_SHA256)
        return store

    def take_in(self, store: Path) -> set[str]:
        """Keep the contents that were uploaded to a store since it was last looked at, and return their sha256s."""
        shards = set(store.glob("xet/xorbs/shards/*.mdb")) - self._taken
        if not shards:
            return set()
        self._taken |= shards
        hashes = {xet_hash for shard in shards for xet_hash in files_in_shard(shard.read_bytes())}
        with tempfile.TemporaryDirectory(dir=self._stores) as folder:
            # The client may still hold its store open and locked, so a copy is read.
            copy = Path(folder, "copy")
            shutil.copytree(store, copy)
            with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{copy}") as download:
                for xet_hash in hashes:
                    download.start_download_file(hf_xet.XetFileInfo(xet_hash), str(Path(folder, xet_hash)))
            for xet_hash in hashes:
                self._sha256_of[xet_hash] = self.add(Path(folder, xet_hash).read_bytes())
        return {self._sha256_of[xet_hash] for xet_hash in hashes}
