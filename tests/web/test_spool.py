"""Bodies whose length is not known at first: kept on the disk, uploaded once it is."""

from __future__ import annotations

import base64
import hashlib
import stat
from pathlib import Path

import pytest

from iqiyi_async import ConfigurationError, SqliteJournal
from iqiyi_async.emulator import Fault, FaultPlan
from iqiyi_async.web import Spool

from ..engine.tools import until
from .conftest import Gateways
from .test_gateway import FILM, SIZE, stored

pytestmark = pytest.mark.anyio


def files(gateways: Gateways) -> list[str]:
    folder = gateways.folder / "spool"
    return [each.name for each in folder.iterdir()] if folder.exists() else []


def spool(gateways: Gateways, most: int = 10**6) -> Spool:
    return Spool(gateways.folder / "spool", most)


async def test_a_body_of_unknown_length_is_uploaded_once_it_is_known(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways))
    assert "creation-defer-length" in (await tus.http.options(tus.endpoint)).headers["Tus-Extension"]
    url = await tus.new(None)
    answer = await tus.head(url)
    assert (answer.headers["Upload-Defer-Length"], answer.headers["Upload-Offset"]) == ("1", "0")
    assert (await tus.patch(url, 0, FILM[:100_000])).headers["Upload-Offset"] == "100000"
    (file,) = (gateways.folder / "spool").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    raw = await tus.begin_patch(url, 100_000, 100_000)
    await raw.send(FILM[100_000:150_000])
    await until(lambda: file.stat().st_size == 150_000)
    raw.cut()
    assert await tus.offset(url) == 150_000
    answer = await tus.patch(url, 150_000, FILM[150_000:], Upload_Length=str(SIZE))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(SIZE))
    assert stored(gateways) == [FILM]
    assert files(gateways) == []
    assert await tus.offset(url) == SIZE


async def test_the_length_is_said_once(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways), max_size=SIZE)
    url = await tus.new(None)
    assert (await tus.patch(url, 0, b"", Upload_Length=str(SIZE + 1))).status_code == 413
    assert (await tus.patch(url, 0, FILM[:10], Upload_Length=str(SIZE))).status_code == 204
    assert (await tus.patch(url, 10, FILM[10:20], Upload_Length=str(SIZE - 1))).status_code == 400
    assert (await tus.head(url)).headers["Upload-Length"] == str(SIZE)


async def test_a_length_that_is_less_than_what_has_come_is_refused(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways))
    url = await tus.new(None)
    await tus.patch(url, 0, FILM[:1000])
    assert (await tus.patch(url, 1000, b"", Upload_Length="999")).status_code == 400
    assert (await tus.patch(url, 1000, FILM[1000:], Upload_Length=str(SIZE))).status_code == 204
    assert stored(gateways) == [FILM]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="left out: it needs a disk that is full")
async def test_a_full_disk_is_an_outage(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways))
    url = await tus.new(None)
    await tus.patch(url, 0, FILM[:1000])
    (file,) = (gateways.folder / "spool").iterdir()
    kept = file.rename(gateways.folder / "kept")
    file.symlink_to("/dev/full")
    answer = await tus.patch(url, 0, FILM)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    file.unlink()
    kept.rename(file)
    assert (await tus.patch(url, 1000, FILM[1000:], Upload_Length=str(SIZE))).status_code == 204
    assert stored(gateways) == [FILM]


async def test_no_more_is_kept_than_was_allowed(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways, 100_000))
    one, other = await tus.new(None), await tus.new(None)
    assert (await tus.patch(one, 0, FILM[:100_001])).status_code == 413
    assert (await tus.patch(one, 0, FILM[:60_000])).status_code == 204
    assert (await tus.patch(other, 0, FILM[:60_000])).status_code == 503
    assert (await tus.request("DELETE", one)).status_code == 204
    assert (await tus.patch(other, 0, FILM[:60_000])).status_code == 204


async def test_what_the_service_could_not_take_is_kept_over_a_restart(gateways: Gateways) -> None:
    journal = SqliteJournal(gateways.folder / "uploads.db")
    tus = await gateways(spool=spool(gateways), journal=journal)
    url = await tus.new(None)
    gateways.emulator.use_faults(FaultPlan((Fault(operation="finish_upload", status=503),)))
    assert (await tus.patch(url, 0, FILM, Upload_Length=str(SIZE))).status_code == 503
    assert await tus.offset(url) == SIZE - 1
    assert len(files(gateways)) == 1
    await gateways.gateway.aclose()
    gateways.emulator.use_faults(FaultPlan(()))
    tus = await gateways(spool=spool(gateways), journal=journal)
    await tus.create(1)  # the first request starts it
    await until(lambda: stored(gateways) == [FILM])
    await until(lambda: files(gateways) == [])
    assert await tus.offset(tus.endpoint + url[-32:]) == SIZE


async def test_the_last_byte_sent_again_ends_the_upload(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways))
    url = await tus.new(None)
    gateways.emulator.use_faults(FaultPlan((Fault(operation="finish_upload", status=503),)))
    assert (await tus.patch(url, 0, FILM, Upload_Length=str(SIZE))).status_code == 503
    gateways.emulator.use_faults(FaultPlan(()))
    assert (await tus.patch(url, SIZE - 1, bytes([FILM[-1] ^ 1]))).status_code == 409
    assert (await tus.patch(url, SIZE - 1, FILM[-1:])).status_code == 204
    assert stored(gateways) == [FILM]


async def test_a_body_of_unknown_length_is_held_against_its_checksum(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways))
    url = await tus.new(None)
    digest = base64.b64encode(hashlib.sha1(FILM).digest()).decode()
    assert (await tus.patch(url, 0, FILM[:-1] + b"?", Upload_Checksum=f"sha1 {digest}")).status_code == 460
    assert await tus.offset(url) == 0
    answer = await tus.patch(url, 0, FILM, Upload_Checksum=f"sha1 {digest}", Upload_Length=str(SIZE))
    assert answer.status_code == 204
    assert stored(gateways) == [FILM]


async def test_what_the_service_refuses_is_not_kept(gateways: Gateways) -> None:
    tus = await gateways(spool=spool(gateways))
    url = await tus.new(None)
    gateways.emulator.use_faults(FaultPlan((Fault(operation="set_metadata", code="Q00001"),)))
    assert (await tus.patch(url, 0, FILM, Upload_Length=str(SIZE))).status_code == 422
    assert files(gateways) == []


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "a folder"])
async def test_a_file_that_can_not_be_removed_is_no_obstacle(
    gateways: Gateways, gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tus = await gateways(spool=spool(gateways))
    url = await tus.new(None)
    await tus.patch(url, 0, FILM[:1000])
    (file,) = (gateways.folder / "spool").iterdir()
    file.unlink()
    if not gone:
        file.mkdir()
    assert (await tus.request("DELETE", url)).status_code == 204
    assert ("could not be removed" in caplog.text) is not gone


async def test_a_server_without_its_spool_says_so(gateways: Gateways) -> None:
    journal = SqliteJournal(gateways.folder / "uploads.db")
    tus = await gateways(spool=spool(gateways), journal=journal)
    url = await tus.new(None)
    await tus.patch(url, 0, FILM[:1000])
    tus = await gateways(journal=journal)
    answer = await tus.patch(tus.endpoint + url[-32:], 1000, FILM[1000:], Upload_Length=str(SIZE))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "no spool" in answer.text


async def test_strange_files_in_the_folder_are_left_alone(gateways: Gateways) -> None:
    folder = gateways.folder / "spool"
    folder.mkdir(mode=0o700)
    journal = SqliteJournal(gateways.folder / "uploads.db")
    tus = await gateways(spool=spool(gateways), journal=journal)
    url = await tus.new(None)
    await tus.patch(url, 0, FILM[:1000])
    (file,) = folder.iterdir()
    (folder / "notes.txt").write_text("not ours")
    file.with_name("0" * 32 + file.suffix).write_bytes(b"of an upload that nobody knows")
    await gateways.gateway.aclose()
    tus = await gateways(spool=spool(gateways), journal=journal)
    there = tus.endpoint + url[-32:]
    assert await tus.offset(there) == 1000
    assert (await tus.patch(there, 1000, FILM[1000:], Upload_Length=str(SIZE))).status_code == 204
    assert stored(gateways) == [FILM]
    assert len(files(gateways)) == 2


def test_a_spool_without_a_bound_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_bytes"):
        Spool("folder", 0)
