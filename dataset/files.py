"""How the tools write their files, and read those that grow line by line."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)


def rows_so_far(path: Path) -> list[Any]:
    """The rows of a file of JSON lines that grows, without one that a kill cut short; none where there is no file."""
    rows = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def end_last_line(path: Path) -> None:
    """Give a last line that a kill cut short its end, so that the next row can be appended."""
    written = path.read_bytes() if path.exists() else b""
    if written and not written.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
