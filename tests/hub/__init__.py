"""A small Hugging Face Hub for tests; `server.py` says how to use it."""

from .server import StandInHub

__all__ = ["StandInHub"]
