"""What the Hub refuses, raised where it is found out and answered in one place (`server.py`)."""


class Refusal(Exception):
    """A status from 400 on, the `X-Error-Code` that huggingface_hub turns into an exception, and headers beside it."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
