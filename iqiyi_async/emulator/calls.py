"""One request on its way through the emulator, and where its parameters may stand.

What belongs here: placements. What must not: what parameters mean.
"""

from __future__ import annotations

import attrs
from starlette.requests import Request

from .contract import Operation
from .effects import Effects
from .multipart import UploadBody

#: Parameters that the document puts into headers; anything else in a header is the transport's.
_PLACED = ("access_token", "file_id", "file_size", "filesize", "filetype", "range", "range_finished", "status")


@attrs.define
class Call:
    """A request of an operation.

    Attributes:
        operation: what it asks for.
        request: as it came.
        base: what addresses in the answer begin with.
        number: its number in the history.
        body: its body.
        effects: the faults that meet it.
        form: form fields read so far.
    """

    operation: Operation
    request: Request = attrs.field(repr=False)
    base: str
    number: int
    body: UploadBody
    effects: Effects | None = None
    form: dict[str, str] = attrs.field(factory=dict[str, str], repr=False)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters: the one place for those of openapi.iqiyi.com."""
        return dict(self.request.query_params)

    @property
    def headers(self) -> dict[str, str]:
        """Those of the document's parameters that stand in headers."""
        found = self.request.headers
        return {name: found[name] for name in _PLACED if name in found}

    @property
    def in_body(self) -> bool:
        """Whether the query says that the parameters travel in the body."""
        return self.request.query_params.get("type") == "body"

    @property
    def chunk_params(self) -> dict[str, str]:
        """Parameters of a chunk: headers, or form fields before the file part."""
        return {**self.headers, **self.form} if self.in_body else {**self.form, **self.headers}

    @property
    def upload_params(self) -> dict[str, str]:
        """Parameters of openupload, uploadfinish, cancelupload: headers, query or form fields."""
        return {**self.query, **self.chunk_params}

    @property
    def params(self) -> dict[str, str]:
        """The parameters, wherever this operation may have them."""
        match self.operation:
            case Operation.UPLOAD_CHUNK:
                return self.chunk_params
            case Operation.REQUEST_UPLOAD | Operation.FINISH_UPLOAD | Operation.CANCEL_UPLOAD:
                return self.upload_params
            case _:
                return self.query
