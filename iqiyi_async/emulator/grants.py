"""Who may do what: sections 2 and 3 of the document, and the check of every presented token.

What belongs here: credentials and tokens. What must not: videos.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

import attrs

from .clock import Clock
from .config import EmulatorConfig
from .contract import Code, Refusal
from .state import State, TokenRecord, fingerprint


class Grants:
    """Issues tokens and checks them."""

    def __init__(self, config: EmulatorConfig, state: State, clock: Clock) -> None:
        self._config = config
        self._state = state
        self._clock = clock
        self._secrets = {**config.other_apps, config.app_key: config.app_secret}

    def authorize(self, params: Mapping[str, str]) -> dict[str, object]:
        """Section 2: tokens for a key and its secret."""
        key, secret = params.get("client_id"), params.get("client_secret")
        if not key or not secret:
            raise Refusal(Code.FAILED, "client_id and client_secret are required in the query")
        known = self._secrets.get(key)
        if known is None or not hmac.compare_digest(known.encode(), secret.encode("utf-8", "surrogatepass")):
            raise Refusal(Code.INVALID_CLIENT, "client_id or client_secret is invalid")
        return self._issue(key)

    def refresh(self, params: Mapping[str, str]) -> dict[str, object]:
        """Section 3: new tokens for a refresh token, which is used up by this."""
        key, grant, token = (params.get(name) for name in ("client_id", "grant_type", "refresh_token"))
        if not key or not grant or not token:
            raise Refusal(Code.INVALID_REQUEST, "client_id, grant_type and refresh_token are required in the query")
        if grant != "refresh_token":
            raise Refusal(Code.UNSUPPORTED_GRANT, "grant_type must be refresh_token")
        secret = params.get("client_secret")
        if key not in self._secrets or (secret is not None and secret != self._secrets[key]):
            raise Refusal(Code.INVALID_CLIENT, "client_id or client_secret is invalid")
        digest = fingerprint(token)
        record = self._state.tokens.get(digest)
        if record is None or record.kind != "refresh" or record.app_key != key:
            raise Refusal(Code.INVALID_GRANT, "refresh_token is invalid for this client_id")
        if record.revoked or record.expires_at <= self._clock.now():
            raise Refusal(Code.INVALID_GRANT, "refresh_token is expired or was used before")
        self._state.put_token(digest, attrs.evolve(record, revoked=True))
        return self._issue(key)

    def _issue(self, app_key: str) -> dict[str, object]:
        now = self._clock.now()
        access, refresh = secrets.token_hex(16), secrets.token_hex(16)
        lifetimes = {"access": self._config.token_lifetime, "refresh": self._config.refresh_lifetime}
        for kind, token in (("access", access), ("refresh", refresh)):
            record = TokenRecord(kind=kind, app_key=app_key, expires_at=now + lifetimes[kind])
            self._state.put_token(fingerprint(token), record)
        expires_in = int(self._config.token_lifetime)
        return {"access_token": access, "expires_in": expires_in, "refresh_token": refresh}

    def check(self, token: str | None) -> str:
        """The application that an access token stands for.

        Raises:
            Refusal: A21332 for no token, an unknown or a revoked one; A21327 for an expired one.
        """
        record = self._state.tokens.get(fingerprint(token)) if token else None
        if record is None or record.kind != "access" or record.revoked:
            raise Refusal(Code.TOKEN_INVALID, "access_token is missing or invalid")
        if record.expires_at <= self._clock.now():
            raise Refusal(Code.TOKEN_EXPIRED, "access_token has expired")
        return record.app_key

    def spoil(self, token: str, how: str) -> None:
        """Make a presented access token `expired` or `revoked`; an unknown one stays unknown."""
        digest = fingerprint(token)
        record = self._state.tokens.get(digest)
        if record is not None and how == "expired":
            self._state.put_token(digest, attrs.evolve(record, expires_at=self._clock.now()))
        elif record is not None:
            self._state.put_token(digest, attrs.evolve(record, revoked=True))

    def spoil_all(self, how: str, kind: str) -> None:
        """Make all tokens of a kind `expired` or `revoked`."""
        now = self._clock.now()
        for digest, record in list(self._state.tokens.items()):
            if record.kind == kind:
                changed = {"expires_at": now} if how == "expired" else {"revoked": True}
                self._state.put_token(digest, attrs.evolve(record, **changed))
