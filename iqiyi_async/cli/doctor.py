"""`doctor`: whether uploads can work from here, what would fail, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import platformdirs

from iqiyi_async import Endpoints, SqliteJournal, VideoCloudError

from .failures import FAILED, UsageError, failure_of
from .findings import Finding, failed, fine, warned
from .messages import told
from .options import Account
from .reach import Reached, look_at_clock, reach
from .screen import Screen
from .texts import about, later, tr
from .trial import Advice, try_account, try_uploads
from .version import version
from .words import padded

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_LABELS: Mapping[Literal["ok", "warning", "failure"], str] = {
    "ok": later("ok"),
    "warning": later("warning"),
    "failure": later("FAILS"),
}
_CHECKS = {
    "environment": later("environment"),
    "credentials": later("credentials"),
    "journal": later("journal"),
    "clock": later("clock"),
    "account": later("account"),
}


class Examination:
    """What was found so far. Each finding is shown as soon as it is known."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.findings: list[Finding] = []

    @property
    def ok(self) -> bool:
        """Whether nothing would fail."""
        return all(finding.level != "failure" for finding in self.findings)

    def add(self, finding: Finding) -> None:
        """Take a finding down."""
        self.findings.append(finding)
        if self._screen.machine:
            return
        text = tr("{found}; {remedy}", found=finding.text, remedy=finding.remedy) if finding.remedy else finding.text
        check = tr(_CHECKS.get(finding.check, finding.check))
        self._screen.result(f"{padded(tr(_LABELS[finding.level]), 8)} {about(check, text)}")


async def examine(account: Account, screen: Screen) -> int:
    """Look at everything that an upload needs.

    Returns:
        0 if it would work; 1 if something would fail.
    """
    found = Examination(screen)
    found.add(fine("environment", f"iqiyi-async {version()}, Python {platform.python_version()}, {platform.system()}"))
    for finding in _proxies():
        found.add(finding)
    credentials = _credentials(account)
    found.add(credentials)
    for finding in _folder(platformdirs.user_state_path("iqiyi-async", appauthor=False)):
        found.add(finding)
    found.add(await _journal())

    try:
        endpoints = Endpoints.single(account.endpoint_url) if account.endpoint_url else Endpoints()
    except VideoCloudError as error:
        found.add(failed("--endpoint-url", told(str(error)), tr("correct --endpoint-url or IQIYI_ENDPOINT_URL")))
        return _conclude(screen, found, None)
    reached: list[Reached] = []
    async with asyncio.TaskGroup() as group:
        # At the same time: each may take until its limit.
        looks = [group.create_task(reach(address, needed=needed)) for address, needed in _addresses(endpoints)]
        for look in looks:
            reached.append(await look)
            found.add(reached[-1].finding)
    found.add(look_at_clock(reached))
    advice = None
    if credentials.level == "ok" and reached[0].finding.level == "failure":
        # The first is that of the API. Each call would be tried again until it is given up.
        found.add(warned("account", tr("not tried: the addresses above do not answer"), ""))
    elif credentials.level == "ok":
        account_finding = await try_account(account)
        found.add(account_finding)
        if account_finding.level == "ok":
            findings, advice = await try_uploads(account)
            for finding in findings:
                found.add(finding)
    return _conclude(screen, found, advice)


def _conclude(screen: Screen, found: Examination, advice: Advice | None) -> int:
    if screen.machine:
        options: dict[str, Any] | None = None if advice is None else attrs.asdict(advice)
        screen.record({"ok": found.ok, "findings": [attrs.asdict(each) for each in found.findings], "options": options})
    elif advice is not None:
        screen.result(tr("options that fit: {options}", options=advice.words))
    if not screen.machine:
        screen.note(tr("uploads can work from here") if found.ok else tr("something would fail: see above"))
    return 0 if found.ok else FAILED


def _proxies() -> Iterator[Finding]:
    """The client connects by itself: who expects it to follow the environment should know."""
    for name in (*PROXIES, *map(str.lower, PROXIES)):
        if os.environ.get(name):
            yield warned(
                name,
                tr("is set, but uploads don't go through it"),
                tr("if there is no other way out, use the library with a transport that knows the proxy"),
            )


def _credentials(account: Account) -> Finding:
    try:
        account.check()
        if account.app_secret_file is not None:
            account.client(token_store=None)
    except UsageError as error:
        return failed("credentials", str(error), error.hint)
    where = "IQIYI_APP_SECRET" if account.app_secret_file is None else "--app-secret-file"
    return fine("credentials", tr("app key and app secret are there (the secret from {where})", where=where))


def _folder(folder: Path) -> Iterator[Finding]:
    """The folder of tokens and uploads: tokens in it are worth an account."""
    if not folder.exists():
        above = next(parent for parent in folder.parents if parent.exists())
        if os.access(above, os.W_OK):
            yield fine(str(folder), tr("does not exist yet; it will be made with mode 0700"))
        else:
            remedy = tr("set XDG_STATE_HOME to a folder that can be written to")
            yield failed(str(folder), tr("can't be made: {path} can't be written to", path=above), remedy)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield failed(str(folder), tr("can't be written to"), tr("check who owns it: ls -ld {path}", path=folder))
        return
    exposed = [
        (path, mode)
        for path in (folder, *sorted(folder.iterdir()))
        if (path == folder or path.suffix in (".json", ".db"))
        and (mode := stat.S_IMODE(path.lstat().st_mode)) & 0o077
        and os.name == "posix"
    ]
    for path, mode in exposed:
        text = tr("is open to other users (mode {mode})", mode=f"{mode:04o}")
        # The folder is made private when it is used next; files that others could read are refused.
        yield (
            warned(str(path), text, f"chmod 700 {path}")
            if path == folder
            else failed(str(path), text, tr("chmod 600 {path}, if nobody has read it", path=path))
        )
    if not exposed:
        yield fine(str(folder), tr("tokens and uploads are kept there, for you only"))


async def _journal() -> Finding:
    journal = SqliteJournal()
    try:
        await journal.find(0, "doctor")
    except (OSError, VideoCloudError) as error:
        failure = failure_of(error)
        return failed("journal", failure.message, failure.hint)
    finally:
        await journal.aclose()
    return fine("journal", tr("interrupted uploads can go on"))


def _addresses(endpoints: Endpoints) -> Iterator[tuple[str, bool]]:
    """Each address once, and whether an upload with the usual options needs it."""
    spare = (endpoints.forms, *endpoints.fallbacks, *endpoints.backups, *endpoints.backups.values())
    needed = dict.fromkeys((endpoints.api, endpoints.upload, endpoints.metadata, endpoints.urls))
    yield from ((address, True) for address in needed if address)
    yield from ((address, False) for address in dict.fromkeys(spare) if address not in needed)
