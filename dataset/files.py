"""How the tools write their files."""

import hashlib
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
