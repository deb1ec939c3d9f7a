"""A model: an upload is begun, stopped at any request, met by faults, cancelled, killed, and goes on; what has to hold
holds after each step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from iqiyi_async import UploadReceipt
from iqiyi_async.emulator import EmulatorConfig, Fault, FaultPlan, ThreadedEmulatorServer

from .stage import Stage


class Uploading(RuleBasedStateMachine):
    """What may happen to the upload of one file. A rule that does not apply just now does nothing: when it does is a
    matter of milliseconds, and no precondition may be."""

    server: ThreadedEmulatorServer

    def __init__(self) -> None:
        super().__init__()
        self.server.reset()
        self._stack = ExitStack()
        folder = tempfile.mkdtemp(prefix="iqm-")
        self._stack.callback(shutil.rmtree, folder)
        self._folder = Path(folder)
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        self.stage: Stage | None = None

    @initialize(on_failure=st.sampled_from(["keep", "cancel"]))
    def open(self, on_failure: str) -> None:
        self.stage = Stage(self.server, self._folder, on_failure)
        self._portal.call(self.stage.open)

    @rule()
    def start(self) -> None:
        if not self.stage.running:
            self._portal.call(self.stage.start)

    @rule(which=st.integers(0, 3), steps=st.integers(1, 4))
    def go_on(self, which: int, steps: int) -> None:
        for _ in range(steps):
            if self.stage.running and self.stage.waiting:
                self._portal.call(self.stage.let_through, which, "none")

    @rule(which=st.integers(0, 3), fault=st.sampled_from(["refused", "lost", "busy", "garbage"]))
    def meet_a_fault(self, which: int, fault: str) -> None:
        if self.stage.running and self.stage.waiting:
            self._portal.call(self.stage.let_through, which, fault)

    @rule()
    def kill_and_reopen(self) -> None:
        self._portal.call(self.stage.kill)

    @rule()
    def cancel(self) -> None:
        if self.stage.running:
            self._portal.call(self.stage.cancel)

    @rule()
    def refresh(self) -> None:
        self._portal.call(self.stage.refresh)

    @rule(kind=st.sampled_from(["access", "refresh"]))
    def revoke(self, kind: str) -> None:
        self.server.spoil_tokens("revoked", kind)  # type: ignore[arg-type]

    @rule()
    def drop_at_the_next_range(self) -> None:
        self.server.faults = FaultPlan([Fault(operation="upload_chunk", drop_file=True, times=1)])

    @rule()
    def finish(self) -> None:
        self._portal.call(self.stage.run_to_the_end)

    @invariant()
    def one_video_with_the_right_bytes(self) -> None:
        published = self.server.published()
        assert len(published) <= 1, f"published are {[view.file_id for view in published]}"
        for view in published:
            assert self.server.content(view.file_id) == self.stage.content

    @invariant()
    def a_receipt_means_that_it_is_published(self) -> None:
        if self.stage is not None and isinstance(self.stage.ended, UploadReceipt):
            assert [view.file_id for view in self.server.published()] == [self.stage.ended.file_id]

    @invariant()
    def what_is_remembered_is_there(self) -> None:
        if self.stage is None:
            return
        files = self.server.files
        for entry in self._portal.call(self.stage.remembered):
            if entry.file_id not in files or files[entry.file_id].state == "cancelled":
                continue  # the service has dropped it; the next upload finds out
            ranges = files[entry.file_id].ranges
            for chunk in entry.accepted:
                held = any(first <= chunk.first and chunk.last <= last for first, last in ranges)
                assert held, f"{chunk.first}-{chunk.last} is remembered, and the service has {ranges}"

    @invariant()
    def versions_of_the_token_grow(self) -> None:
        versions = [] if self.stage is None else self.stage.store.versions
        assert versions == sorted(set(versions))

    def teardown(self) -> None:
        with self._stack:
            if self.stage is not None:
                if not self.stage.running:
                    self._portal.call(self.stage.start)
                self._portal.call(self.stage.run_to_the_end)
                if not isinstance(self.stage.ended, UploadReceipt):
                    # It met a fault before; without any, it goes on to its end.
                    self._portal.call(self.stage.start)
                    self._portal.call(self.stage.run_to_the_end)
                assert isinstance(self.stage.ended, UploadReceipt), repr(self.stage.ended)
                self.one_video_with_the_right_bytes()
                self.a_receipt_means_that_it_is_published()
                self._portal.call(self.stage.close)


@pytest.fixture
def server() -> Iterator[ThreadedEmulatorServer]:
    with ThreadedEmulatorServer(EmulatorConfig(publish_after=0)) as running:
        yield running


@pytest.mark.timeout(600)
def test_the_model_holds(server: ThreadedEmulatorServer) -> None:
    machine = type("Machine", (Uploading,), {"server": server})
    # An example has dozens of requests: an eighth of what the profile says is as thorough.
    examples = max(15, settings().max_examples // 8)
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None))
