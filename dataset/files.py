"""How the tools write their files."""

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file in UTF-8, whole or not at all, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}")
    building.write_text(text, encoding="utf-8")
    building.replace(path)
