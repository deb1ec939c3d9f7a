"""Sending a call: token in, one renewal, decode; and again as often as its policy allows."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import attrs

from ._auth import Send, TokenManager
from ._concurrency import run_to_completion
from ._outage import CALLER, Caller, Gate, GateClosedError, Outage
from ._redaction import iter_causes, redact, strip_tracebacks
from ._retry import Retries
from ._telemetry import Span, Telemetry
from .config import KIB
from .errors import (
    AuthorizationError,
    ConfigurationError,
    ResponseError,
    ServiceError,
    TransportError,
    VideoCloudError,
)
from .models import StoredToken, Token, VideoStatus
from .protocol import hosts
from .protocol.answers import TOKEN_OPERATIONS, is_about_token, is_outage, may_be_outage, outcome_unknown
from .protocol.wire import Answer, Call, SecretName, Secrets
from .transport import HttpClient

logger: logging.Logger = logging.getLogger(__name__)

T = TypeVar("T")

_NOTHING = Secrets()
#: An answer that is longer is decoded in a thread, in bytes: the event loop has other things to do.
LONG_ANSWER = 128 * KIB


class Session:
    """The conversation of one client with the service.

    Args:
        http: sends requests.
        outage: the gates that its calls wait at while the service is down.
        retries: the policy of uploads, and of the renewal of the token.
        call_retries: the policy of interactive calls.
        make_auth: makes the keeper of the token, which sends its own calls over this session.
        telemetry: is told of each call.
    """

    def __init__(
        self,
        *,
        http: HttpClient,
        outage: Outage,
        retries: Retries,
        call_retries: Retries,
        make_auth: Callable[[Send], TokenManager],
        telemetry: Telemetry | None = None,
    ) -> None:
        self._http = http
        self.telemetry: Telemetry = telemetry or Telemetry()
        self._outage = outage
        self.retries = retries
        self.call_retries = call_retries
        self._decoding = ThreadPoolExecutor(1, "iqiyi-async decoding")
        self.auth: TokenManager = make_auth(self.send_for_token)

    async def send(self, call: Call[T], *, interactive: bool = False, patience: float = 0.0) -> T:
        """Send a call as often as its policy and its nature allow, and decode its answer.

        Args:
            call: what to do.
            interactive: a user waits for it: a few attempts within seconds, by the policy ``call_retry``.
            patience: seconds for which even a cancelled caller waits for the answer to a request that is on its way.
                The call decodes it then, and its value is lost.

        Raises:
            VideoCloudError: what the answer means, or that there was none.
        """

        def attempt() -> Awaitable[T]:
            exchange = self.exchange(call, interactive=interactive)
            return run_to_completion(exchange, patience) if patience else exchange

        def repeatable(error: VideoCloudError) -> bool:
            return error.retryable and (call.repeatable or not outcome_unknown(error))

        try:
            return await (self.call_retries if interactive else self.retries).run(
                attempt, repeatable=repeatable, on_retry=self.on_retry
            )
        except VideoCloudError as error:
            if not call.repeatable and outcome_unknown(error):
                # Not by us, and not by a loop of the caller's either.
                error.retryable = False
            raise

    async def send_for_token(self, call: Call[Token], secrets: Secrets, interactive: bool) -> Token:
        """Send a call that gets a token: it carries other secrets, and no token."""
        retries = self.call_retries if interactive else self.retries
        return await retries.run(lambda: self.exchange(call, secrets=secrets), on_retry=self.on_retry)

    async def exchange(
        self,
        call: Call[T],
        *,
        secrets: Secrets | None = None,
        on_sent: Callable[[int], None] | None = None,
        on_resend: Callable[[], None] = lambda: None,
        allow: Callable[[int], Awaitable[int]] | None = None,
        fresh: bool = False,
        interactive: bool = False,
    ) -> T:
        """Send a call once, and once more with a new token if its token is refused.

        A token may be refused although the call carries none: the service may remember the one that an upload was
        requested with.

        Args:
            call: what to do.
            secrets: what it carries in place of a token.
            on_sent: called with the number of bytes for each piece of the body that the network has taken.
            on_resend: called when it is sent once more because a kept connection had been closed before.
            allow: awaited with a number of bytes of the body before they are written; how many may be: a limit of
                bytes a second. Waiting for it is not being late.
            fresh: use a new connection.
            interactive: a user waits for it, and for the token too.

        Raises:
            VideoCloudError: what the answer means, or that there was none. It says which operation and which upload
                it is about.
        """
        outside, caller = sys.exception(), CALLER.get()
        stored: StoredToken | None = None
        if secrets is None:
            carries = SecretName.ACCESS_TOKEN in call.request.secrets
            if carries and caller is not None and not self.auth.at_hand:
                # The renewal may have to wait for the turn that this call has at a gate.
                caller.leave()
            stored = await self.auth.token(interactive) if carries else self.auth.known
            secrets = _NOTHING if stored is None or not carries else _token_of(stored)
            renewable = True
        else:
            carries = renewable = False
        origin = hosts.origin(call.request.url)
        gate = self._outage.gate(origin)
        while True:
            answered = False
            try:
                # The answer gets no name here: this frame may be shown.
                with self.telemetry.call(call.operation, call.request, file_id=call.file_id) as span:
                    value = await self._decoded(
                        call,
                        await self._http.send(
                            call.request,
                            secrets,
                            on_sent,
                            resend=call.repeatable,
                            on_resend=on_resend,
                            allow=allow,
                            fresh=fresh,
                            admit=lambda: gate.admit(caller, call.operation, call.repeatable),
                        ),
                        span,
                    )
            except VideoCloudError as error:
                answered = self._note(gate, caller, call, error)
                self._complete(error, outside, call, secrets)
                if not renewable or not is_about_token(error):
                    # The frames of the decoding hold the answer, perhaps with a token in it.
                    raise strip_tracebacks(error, outside)  # noqa: B904 - the same exception
            except BaseException as problem:
                if not isinstance(problem, GateClosedError):
                    gate.abandoned(caller)
                raise
            else:
                answered = True
                gate.succeeded(caller)
                return self._without_secrets(value, secrets)
            finally:
                self._outage.left(origin, answered=answered)
            # Once: a service that refuses a new token too has something else against us.
            renewable = False
            stored = await (self.auth.token(interactive) if stored is None else self.auth.replace(stored, interactive))
            secrets = _token_of(stored) if carries else secrets

    def is_down(self, url: str) -> bool:
        """Whether the host of a URL is known to be down: a call to it would wait."""
        return self._outage.is_down(hosts.origin(url))

    async def aclose(self) -> None:
        """End the renewal of the token."""
        await self.auth.aclose()
        self._decoding.shutdown(wait=False)

    def _without_secrets(self, value: T, carried: Secrets) -> T:
        """A status repeats words of the service, which may repeat a secret of ours."""
        if not isinstance(value, VideoStatus):
            return value
        known = Secrets({**self.auth.secrets, **carried})
        clean = attrs.evolve(
            value,
            code=redact(value.code, known),
            message=redact(value.message, known),
            duplicate_of=value.duplicate_of and redact(value.duplicate_of, known),
        )
        return cast("T", clean)

    async def _decoded(self, call: Call[T], answer: Answer, span: Span) -> T:
        span.answered(answer.status)
        if len(answer.content) < LONG_ANSWER:
            return call.decode(answer)
        return await asyncio.get_running_loop().run_in_executor(self._decoding, call.decode, answer)

    def on_retry(self, error: VideoCloudError, wait: float) -> None:
        """Say that a call is tried again in `wait` seconds."""
        self.telemetry.retried(error)
        logger.info("%s; trying again in %.1f s", error, wait)

    def _note(self, gate: Gate, caller: Caller | None, call: Call[Any], error: VideoCloudError) -> bool:
        """Tell the gate how an attempt ended; whether the service has answered."""
        if isinstance(error, ConfigurationError) or (isinstance(error, TransportError) and error.closed_before):
            gate.abandoned(caller)
            return False
        if (certain := is_outage(error)) or may_be_outage(error):
            gate.failed(caller, self._concerned(call, caller), error, certain=certain)
            return False
        gate.succeeded(caller)
        return True

    def _concerned(self, call: Call[Any], caller: Caller | None) -> Collection[Hashable]:
        """Names of the calls that a failure is a failure of: all requests of one upload count as one call, and a
        renewal of the token counts for all who wait for it."""
        if call.operation in TOKEN_OPERATIONS:
            return [("token", number) for number in range(max(1, self.auth.waiting))]
        return [call.file_id or caller or call]

    def _complete(self, error: VideoCloudError, outside: BaseException | None, call: Call[T], secrets: Secrets) -> None:
        """Say what it was about, and take out of the service's words whatever it repeated of our secrets."""
        if error.operation is None:
            error.operation = call.operation
            error.args = (f"{call.operation}: {error}",)
        error.file_id = error.file_id or call.file_id
        if not call.repeatable and outcome_unknown(error):
            error.args = (f"{error}; whether the service has done it is not known",)
        known = Secrets({**self.auth.secrets, **secrets})
        for each in iter_causes(error, outside):
            # What a caller's own transport raised may quote the request.
            each.args = tuple(redact(part, known) if isinstance(part, str) else part for part in each.args)
        if isinstance(error, ServiceError | AuthorizationError) and error.code is not None:
            error.code = redact(error.code, known)
        if isinstance(error, ServiceError):
            error.message = redact(error.message, known)
        elif isinstance(error, ResponseError):
            error.excerpt = redact(error.excerpt, known)


def _token_of(stored: StoredToken) -> Secrets:
    return Secrets({SecretName.ACCESS_TOKEN: stored.token.access_token})
