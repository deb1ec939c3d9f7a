"""Credentials and tokens: sections 2 and 3 of the document, and the check of every presented token."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Iterator, Mapping

import attrs

from .clock import Clock
from .config import EmulatorConfig
from .contract import Code, Refusal
from .state import State, TokenRecord, fingerprint

_KINDS = ("access", "refresh")


class TokenIssuer:
    """Issues tokens and checks them.

    Args:
        config: the known applications and the lifetimes.
        state: where tokens are kept.
        clock: the service's time.
    """

    def __init__(self, config: EmulatorConfig, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._secrets = {**config.other_apps, config.app_key: config.app_secret}
        self._lifetimes = {"access": config.token_lifetime, "refresh": config.refresh_lifetime}

    def authorize(self, params: Mapping[str, str]) -> dict[str, object]:
        """Section 2: tokens for a key and its secret. The same ones for as long as they live."""
        key, secret = params.get("client_id"), params.get("client_secret")
        if not key or not secret:
            raise Refusal(Code.FAILED, "client_id and client_secret are required in the query")
        known = self._secrets.get(key)
        if known is None or not hmac.compare_digest(known.encode(), secret.encode("utf-8", "surrogatepass")):
            raise Refusal(Code.INVALID_CLIENT, "client_id or client_secret is invalid")
        return self._grant(key, {kind: self._latest(kind, key) for kind in _KINDS})

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
        return self._grant(key, {})

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
        if record is not None:
            self._spoil(digest, record, how)

    def spoil_all(self, how: str, kind: str) -> None:
        """Make all tokens of a kind `expired` or `revoked`."""
        for digest, record in list(self._state.tokens.items()):
            if record.kind == kind:
                self._spoil(digest, record, how)

    def living(self) -> Iterator[TokenRecord]:
        """The tokens that would be taken now."""
        now = self._clock.now()
        with self._state.guard:
            records = list(self._state.tokens.values())
        return (record for record in records if not record.revoked and record.expires_at > now)

    def _spoil(self, digest: str, record: TokenRecord, how: str) -> None:
        changed = {"expires_at": self._clock.now()} if how == "expired" else {"revoked": True}
        self._state.put_token(digest, attrs.evolve(record, **changed))

    def _latest(self, kind: str, app_key: str) -> TokenRecord | None:
        """The newest token of an application that still lives."""
        fitting = [record for record in self.living() if (record.kind, record.app_key) == (kind, app_key)]
        return fitting[-1] if fitting and fitting[-1].serial else None

    def _grant(self, app_key: str, kept: Mapping[str, TokenRecord | None]) -> dict[str, object]:
        """The answer that hands out tokens: those that are kept, and new ones for the rest."""
        records = {kind: kept.get(kind) or self._issue(kind, app_key) for kind in _KINDS}
        # Whole seconds, as documented; rounded up, so that no token that lives is said to be dead.
        left = math.ceil(records["access"].expires_at - self._clock.now())
        access, refresh = (self._text(records[kind]) for kind in _KINDS)
        return {"access_token": access, "expires_in": max(left, 1), "refresh_token": refresh}

    def _issue(self, kind: str, app_key: str) -> TokenRecord:
        expires_at = self._clock.now() + self._lifetimes[kind]
        record = TokenRecord(kind=kind, app_key=app_key, expires_at=expires_at, serial=secrets.token_hex(16))
        self._state.put_token(fingerprint(self._text(record)), record)
        return record

    def _text(self, record: TokenRecord) -> str:
        text = f"{record.kind}\n{record.app_key}\n{record.serial}".encode("utf-8", "surrogatepass")
        return hmac.new(self._state.signing_key, text, hashlib.sha256).hexdigest()[:32]
