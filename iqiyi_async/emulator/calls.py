"""One request on its way through the emulator, and where its parameters may stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from starlette.requests import Request

from .contract import Operation
from .effects import Effects
from .multipart import UploadBody

#: Parameters that the document puts into headers; anything else in a header is the transport's.
_PLACED = ("access_token", "file_id", "file_size", "filesize", "filetype", "range", "range_finished", "status")
_CHUNK_HEADERS = frozenset({"file_id", "file_size", "range"})
_FINISHED = ("true", "1")
#: Whose parameters may stand in headers, in the query or in a form.
_UPLOADS = (Operation.REQUEST_UPLOAD, Operation.FINISH_UPLOAD, Operation.CANCEL_UPLOAD)


class Call:
    """A request of an operation.

    Args:
        operation: what its address asks for; the query or the body may say otherwise.
        request: as it came.
        base: what addresses in the answer begin with.
        number: its number in the history.
    """

    def __init__(self, operation: Operation, request: Request, base: str, number: int) -> None:
        self.request = request
        self.base = base
        self.number = number
        self.query: Mapping[str, str] = dict(request.query_params)
        self.headers: Mapping[str, str] = {name: request.headers[name] for name in _PLACED if name in request.headers}
        self.in_body: bool = self.query.get("type") == "body"
        content_type = request.headers.get("content-type", "")
        self.body: UploadBody = UploadBody(request.stream(), content_type, lower_case=self.in_body)
        self._form: Mapping[str, str] = {}
        self._effects: Effects | None = None
        refresh = operation is Operation.AUTHORIZE and self.query.get("grant_type") == "refresh_token"
        self._operation = Operation.REFRESH_TOKEN if refresh else operation

    @property
    def operation(self) -> Operation:
        """What it asks for."""
        return self._operation

    @property
    def path(self) -> str:
        """The address without its query."""
        return cast("str", self.request.scope["path"])

    @property
    def effects(self) -> Effects:
        """The faults that meet it."""
        assert self._effects is not None
        return self._effects

    def expose_to(self, effects: Effects) -> None:
        """Let these faults act on it from now on."""
        self._effects = effects
        self.body.watch(effects.gate)

    async def read_form(self) -> None:
        """Read form fields where parameters may stand in them, and see which operation they ask for.

        Raises:
            Refusal: the body is no proper form.
        """
        if self._operation is Operation.UPLOAD_CHUNK:
            finish = {**self.query, **self.headers}.get("range_finished") in _FINISHED
            if not finish and (self.in_body or not self.headers.keys() >= _CHUNK_HEADERS):
                self._form = await self.body.fields()
                finish = self._form.get("range_finished") in _FINISHED and not self.body.has_file
            if finish:
                self._operation = Operation.FINISH_UPLOAD
        elif self.request.method == "POST":
            self._form = await self.body.fields()

    @property
    def placed(self) -> dict[str, str]:
        """Parameters in headers, or in form fields before the file part. `?type=body` says which counts first."""
        return {**self.headers, **self._form} if self.in_body else {**self._form, **self.headers}

    @property
    def params(self) -> dict[str, str]:
        """The parameters, wherever this operation may have them."""
        if self._operation is Operation.UPLOAD_CHUNK:
            return self.placed
        return {**self.query, **self.placed} if self._operation in _UPLOADS else dict(self.query)

    @property
    def named(self) -> frozenset[str]:
        """The names of all parameters that it has, in whatever place."""
        return frozenset({*self.query, *self.headers, *self._form, *self.body.field_names})
