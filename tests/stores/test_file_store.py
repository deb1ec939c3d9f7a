"""Tokens in a file: who can reach it, what happens when it is damaged, and the locks between processes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from pathlib import Path

import anyio
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from iqiyi_async.stores import FileTokenStore

from .helpers import KEY, SECRET, child, descriptors, mode, posix_only, said_by, shown, token, umask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


async def written(path: Path, number: int = 0) -> FileTokenStore:
    store = FileTokenStore(path)
    assert await store.compare_and_set(KEY, None, token(number)) is not None
    return store


# Who can reach it.


@posix_only
@pytest.mark.anyio
@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
async def test_files_and_new_folders_are_their_owners_alone(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        store = await written(tmp_path / "one" / "two" / "tokens.json")
        async with store.lease(KEY, ttl=30):
            pass
    folder = tmp_path / "one" / "two"
    assert mode(tmp_path / "one") == mode(folder) == 0o700
    names = sorted(each.name for each in folder.iterdir())
    assert [name.split(".")[-1] for name in names] == ["json", "lease", "lock"]
    assert {mode(folder / name) for name in names} == {0o600}


@posix_only
@pytest.mark.anyio
async def test_by_default_it_is_in_the_private_state_folder_which_is_tightened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "state" / "iqiyi-async"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    store = FileTokenStore()
    assert await store.compare_and_set(KEY, None, token()) is not None
    assert mode(folder) == 0o700
    assert mode(folder / "tokens.json") == 0o600
    assert str(folder / "tokens.json") in repr(store)


@pytest.mark.anyio
async def test_in_a_folder_that_exists_it_has_its_usual_name(tmp_path: Path) -> None:
    await written(tmp_path)
    assert (tmp_path / "tokens.json").is_file()


@posix_only
@pytest.mark.anyio
async def test_a_link_is_refused_and_its_target_left_alone(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("not for us")
    path.symlink_to(target)
    await refused(path, "it is a symbolic link")
    assert target.read_text() == "not for us"
    assert path.is_symlink()


@posix_only
@pytest.mark.anyio
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o666])
async def test_a_file_that_others_can_reach_is_refused(path: Path, bits: int) -> None:
    await written(path)
    path.chmod(bits)
    await refused(path, f"others can reach it \\(mode {bits:04o}\\).*chmod 600")
    path.chmod(0o600)
    assert await FileTokenStore(path).load(KEY) is not None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.anyio
async def test_a_file_of_another_user_is_refused(path: Path) -> None:
    await written(path)
    os.chown(path, 12345, -1)
    await refused(path, "it belongs to another user")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.anyio
async def test_a_state_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tmp_path.joinpath("iqiyi-async").mkdir()
    os.chown(tmp_path / "iqiyi-async", 12345, -1)
    with pytest.raises(PermissionError, match="the folder belongs to another user"):
        await FileTokenStore().load(KEY)


@posix_only
@pytest.mark.anyio
async def test_a_pipe_is_refused_without_waiting_for_its_other_end(path: Path) -> None:
    os.mkfifo(path, 0o600)
    async with asyncio.timeout(5):
        await refused(path, "it is no regular file")


async def refused(path: Path, why: str) -> None:
    store = FileTokenStore(path)
    with pytest.raises(PermissionError, match=why) as caught:
        await store.load(KEY)
    assert caught.value.filename == str(path)
    with pytest.raises(PermissionError, match=why):
        await store.compare_and_set(KEY, None, token())


# What happens when it is damaged.


@pytest.mark.anyio
@given(data=st.data())
async def test_a_torn_file_counts_as_empty_and_versions_go_on_growing(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("torn") / "tokens.json"
    before = await (await written(path)).load(KEY)
    assert before is not None
    content = path.read_bytes()
    damaged = data.draw(
        st.integers(0, len(content) - 1).map(lambda length: content[:length])
        | st.integers(0, len(content) - 1).map(lambda start: b"\0" * start + content[start:])
        | st.binary(max_size=60)
        | st.sampled_from([b"[" * 100_000, b"{}", b"[]", b"null", b'{"format": 2, "tokens": {}}', b"\xff\xfe{"])
    )
    if damaged == content:
        return
    path.write_bytes(damaged)
    for store in (FileTokenStore(path), FileTokenStore(path)):
        assert await store.load(KEY) is None
    after = await store.compare_and_set(KEY, None, token(2))
    assert after is not None
    assert after.version > before.version
    assert await FileTokenStore(path).load(KEY) == after
    aside = path.with_name("tokens.json.unreadable")
    assert (aside.read_bytes() if damaged else b"") == damaged, "what could not be read was not kept"
    assert not damaged or mode(aside) == 0o600


@pytest.mark.anyio
@pytest.mark.parametrize(
    "entry",
    [
        None,
        "token",
        {},
        {"version": 0},
        {"version": "5"},
        {"version": True},
        {"access_token": ""},
        {"access_token": 5},
        {"refresh_token": 5},
        {"expires_at": "tomorrow"},
        {"obtained_at": "2026-01-01T00:00:00"},
        {"expires_at": None},
    ],
    ids=str,
)
async def test_a_damaged_entry_counts_as_none_and_the_others_stay(path: Path, entry: object) -> None:
    store = await written(path)
    other = await store.compare_and_set("other", None, token(7))
    document = json.loads(path.read_text())
    good = document["tokens"][KEY]
    document["tokens"][KEY] = {**good, **entry} if isinstance(entry, dict) and entry else entry
    path.write_text(json.dumps(document))
    fresh = FileTokenStore(path)
    assert await fresh.load(KEY) is None
    assert await fresh.load("other") == other
    assert await fresh.compare_and_set(KEY, good["version"], token(8)) is None
    after = await fresh.compare_and_set(KEY, None, token(8))
    assert after is not None
    assert after.version > good["version"]
    assert await fresh.load("other") == other
    assert not path.with_name("tokens.json.unreadable").exists()


@pytest.mark.anyio
async def test_what_was_put_aside_is_told_without_its_content(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = await written(path)
    path.write_text(path.read_text()[:-9])
    with caplog.at_level(logging.DEBUG):
        assert await store.compare_and_set(KEY, None, token()) is not None
    assert [each.levelname for each in caplog.records if each.name.startswith("iqiyi_async")] == ["WARNING"]
    assert "tokens.json.unreadable" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.anyio
async def test_versions_grow_although_the_file_was_removed_and_the_clock_went_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await written(path)
    before = await store.load(KEY)
    assert before is not None
    path.unlink()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)
    after = await store.compare_and_set(KEY, None, token(1))
    assert after is not None
    assert after.version > before.version


@pytest.mark.anyio
async def test_what_a_killed_writer_left_is_replaced(path: Path) -> None:
    rest = path.with_name(".tokens.json.new")
    rest.write_text("half a tok")
    await written(path)
    assert not rest.exists()


def test_a_full_disk_leaves_the_old_token_and_shows_no_secret(path: Path) -> None:
    said = said_by("token_file_full", path)
    assert "File too large" in said
    assert "_private.py" in said, "the frames are missing that could show something"
    assert SECRET not in said
    assert sorted(each.name for each in path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    store = FileTokenStore(tmp_path / "file" / "tokens.json")
    with pytest.raises(OSError, match="file"):
        await store.compare_and_set(KEY, None, token())
    with pytest.raises(OSError, match="file"):
        await store.load(KEY)


@pytest.mark.anyio
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder of Linux")
async def test_a_folder_that_takes_no_files_is_an_error_of_the_system() -> None:
    store = FileTokenStore("/proc/tokens.json")
    with anyio.fail_after(5):
        with pytest.raises(FileNotFoundError, match=r"/proc/tokens\.json"):
            async with store.lease("key", ttl=5):
                pass
        with pytest.raises(FileNotFoundError, match=r"/proc/tokens\.json"):
            await store.compare_and_set("key", None, token())


@pytest.mark.anyio
async def test_no_error_shows_a_secret(path: Path) -> None:
    store = await written(path)
    path.chmod(0o644)
    with pytest.raises(PermissionError) as caught:
        await store.compare_and_set(KEY, None, token())
    assert SECRET not in shown(caught.value)


# The locks between processes.


@pytest.mark.anyio
async def test_a_write_waits_for_the_lock_and_can_be_cancelled(path: Path) -> None:
    store = await written(path)
    before = await store.load(KEY)
    assert before is not None
    open_before = descriptors()
    with FileLock(f"{path}.lock"):
        write = asyncio.create_task(store.compare_and_set(KEY, before.version, token(1)))
        await asyncio.sleep(0.05)
        assert not write.done()
        assert await store.load(KEY) == before, "reading waits for the lock"
        write.cancel()
        await asyncio.wait([write], timeout=1)
        assert write.cancelled()
    assert await store.load(KEY) == before
    assert await store.compare_and_set(KEY, before.version, token(2)) is not None
    assert descriptors() == open_before


@pytest.mark.anyio
async def test_a_lease_taken_when_nobody_wanted_it_any_more_is_given_back(path: Path) -> None:
    """Cancelled at one moment after another, also in the one in which the thread takes the lock."""
    store, other = await written(path), FileTokenStore(path)
    async with other.lease(KEY, ttl=30):
        pass
    open_before = descriptors()
    for step in range(40):
        lease = store.lease(KEY, ttl=30)
        entering = asyncio.create_task(lease.__aenter__())
        await asyncio.sleep(step * 0.00005)
        entering.cancel()
        await asyncio.wait([entering], timeout=5)
        if not entering.cancelled():
            await lease.__aexit__(None, None, None)
            break  # so long a wait that it has entered: all moments before are done
        async with asyncio.timeout(5), other.lease(KEY, ttl=30):
            pass
        assert descriptors() == open_before
    assert step > 1


def test_it_serves_one_event_loop_after_the_other(path: Path) -> None:
    store = FileTokenStore(path)

    async def hold_and_write(number: int) -> None:
        async with store.lease(KEY, ttl=30):
            found = await store.load(KEY)
            assert await store.compare_and_set(KEY, found.version if found else None, token(number)) is not None

    for number in range(3):
        asyncio.run(hold_and_write(number))


def test_a_killed_writer_leaves_the_old_token_or_the_new_one(path: Path) -> None:
    asyncio.run(written(path))
    chance = random.Random(7)
    last = 0
    for _ in range(5):
        with child("write_without_end", path) as writer:
            assert writer.stdout is not None
            told = int(writer.stdout.readline())
            time.sleep(chance.random() * 0.05)
            writer.kill()
            told = max([told, *map(int, writer.stdout.read().split())])
        found = asyncio.run(FileTokenStore(path).load(KEY))
        assert found is not None
        assert found.version >= told > last, "a write was lost that had been reported"
        last = found.version


@pytest.mark.anyio
async def test_the_lease_of_a_killed_process_is_free_at_once(path: Path) -> None:
    store = FileTokenStore(path)
    with child("hold", path, 300) as holder:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
        lease = store.lease(KEY, ttl=300)
        entering = asyncio.create_task(lease.__aenter__())
        await asyncio.sleep(0.1)
        assert not entering.done(), "the lease was free although its holder lives"
        holder.kill()
        await asyncio.wait_for(entering, 5)
        await lease.__aexit__(None, None, None)
