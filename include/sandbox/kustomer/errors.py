"""Kustomer's refusals, in both of its documented error shapes by turns (fact sheet, section 6)."""

import itertools

from include.sandbox.model import Json

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "payload_too_large",
    429: "rate_limit_exceeded",
}
_shapes = itertools.cycle((True, False))


class KustomerError(Exception):
    """A refusal. `source` is the JSON pointer or parameter at fault."""

    def __init__(self, status: int, detail: str, source: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.source = source

    def body(self) -> Json:
        """Return the next of the two shapes."""
        code = _CODES.get(self.status, "error")
        if next(_shapes):
            return {"errors": [{"code": code, "message": self.detail, "meta": {}}]}
        error: Json = {
            "status": self.status,
            "code": code,
            "title": code.replace("_", " ").capitalize(),
            "detail": self.detail,
            "meta": {},
        }
        if self.source is not None:
            error["source"] = {"pointer" if self.source.startswith("/") else "parameter": self.source}
        return {"errors": [error]}
