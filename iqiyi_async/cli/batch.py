"""The `batch` commands: their names, their options, their help."""

from __future__ import annotations

import json as json_text
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import attrs
from cyclopts import App, Parameter

from iqiyi_async import AsyncVideoCloud, ConfigurationError
from iqiyi_async.batch import Batch, Manifest

from . import signals
from .batch_run import BatchRun, RunOptions, state_words
from .failures import FAILED, UsageError, in_options
from .messages import told
from .options import Account, Verbosity, upload_options
from .screen import Screen, logging_to
from .texts import about, count, tr
from .words import padded, size

app: App = App(
    name="batch",
    help="Upload many videos: from a spreadsheet, a folder, a list; on one machine or several.",
    help_format="plaintext",
    result_action="return_value",
)

ACCOUNT, VERBOSITY = Account(), Verbosity()
Command = Callable[[signals.Signals], Coroutine[Any, Any, int]]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
LEDGER = "sqlite:///batch.ledger"
#: So many uploads at the same time a batch takes at the most.
MOST_AT_ONCE = 1000


@app.command
def run(
    *sources: Annotated[str, Parameter(allow_leading_hyphen=True)],
    ledger: str = LEDGER,
    name: str = "default",
    root: Path | None = None,
    concurrency: int = 32,
    max_bandwidth: str | None = None,
    wait: Flag = False,
    report: Path | None = None,
    dry_run: Flag = False,
    dask: str | None = None,
    workers: int = 1,
    on_success: str = "none",
    watch: Path | None = None,
    settle: float = 5.0,
    max_attempts: int = 5,
    lease: float = 60.0,
    json: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Add what is given to the ledger, and upload what is left in it.

    Whatever interrupts it, the same command goes on. Started on several machines with one PostgreSQL ledger, it shares
    the work. The first Ctrl-C (or SIGTERM) lets uploads end that are nearly done, the second stops at once.

    Args:
        sources: CSV or JSON Lines files (columns source, title, description, tags, category, file_type, key), - for
            standard input, folders, patterns, videos. Without any, the run goes on with what is in the ledger.
        ledger: sqlite:///FILE for one machine, postgresql://USER@HOST/DATABASE for several.
        name: Of the batch; a ledger may hold several.
        root: What relative paths start from on this machine; by default the folder of each CSV or JSON Lines file, and
            the current folder for what is in the ledger.
        concurrency: Uploads at the same time.
        max_bandwidth: Bytes a second over all runners, such as 20MB, or by the time of day, such as
            08:00-20:00=10MB,else=off.
        wait: Wait until the videos are published.
        report: Write a report at the end, as .csv or .json.
        dry_run: Look at everything, send nothing, and say how many bytes it will take.
        dask: The address of a Dask scheduler: its workers run the batch.
        workers: How many of them.
        on_success: What becomes of a file whose video was verified: none, delete, or move:DIR.
        watch: A folder that is watched: new videos are taken until Ctrl-C.
        settle: Seconds that a file there must not have changed.
        max_attempts: After so many failures an item is given up.
        lease: Seconds that a runner that died keeps others from its items.
        json: Print one JSON object per line: what was added, progress, a result for each item, a summary.
    """
    screen = account.screen(machine=json, steadfast=True)
    unknown = next((each for each in sources if each.startswith("-") and each != "-"), None)
    if unknown is not None:
        raise UsageError(
            tr("unknown option {word}", word=unknown),
            tr("iqiyi-async {command} --help lists what is possible", command="batch run"),
        )
    if not sources and watch is None and dry_run:
        raise UsageError(tr("there is nothing to look at"), tr("name a CSV or JSON Lines file, a folder or videos"))
    if report is not None and report.suffix.lower() not in (".csv", ".json"):
        raise UsageError(
            tr("--report {path}: neither .csv nor .json", path=report), tr("name the report with one of these endings")
        )
    _check_places(watch, dask)
    _check_numbers(concurrency, workers, settle)
    manifest = Manifest.read(*sources, root=root) if sources else None
    if dry_run:
        with screen:
            return _look(manifest or Manifest.read(str(watch)), screen)
    options = RunOptions(ledger, name, concurrency, wait, root or watch, on_success, report, watch, settle)
    settings: dict[str, Any] = {
        "name": name,
        "root": options.root,
        "max_attempts": max_attempts,
        "lease_seconds": lease,
        "on_success": on_success,
        "max_bandwidth": max_bandwidth,
    }

    async def command(caught: signals.Signals) -> int:
        async with account.client(options=upload_options()) as cloud:
            async with _batch(cloud, ledger, settings) as batch:
                work = BatchRun(batch, options, screen, caught)
                if manifest is not None:
                    await work.add(manifest)
                if dask is not None:
                    from .batch_dask import run_on_dask

                    await run_on_dask(dask, options, workers, settings, caught)
                    return await work.conclude()
                return await work.run()

    return _perform(command, screen, account)


@app.command
def status(*, ledger: str = LEDGER, name: str = "default", json: Json = False, verbosity: Verbosity = VERBOSITY) -> int:
    """Show how many items are in which state.

    Args:
        ledger: As for batch run.
        name: As for batch run.
        json: Print a JSON object.
    """
    screen = Screen(machine=json, quiet=verbosity.quiet)

    async def command(_: signals.Signals) -> int:
        async with _known(None, ledger, name) as batch:
            found = await batch.status()
        if json:
            screen.record({"batch": name, "total": found.total, **attrs.asdict(found)})
            return 0
        if not found.total:
            screen.say(tr("batch {name} of this ledger has no items", name=name))
        for state, number in attrs.asdict(found).items():
            if state == "bytes":
                screen.result(f"{padded(tr('at the service'), 15)} {size(number)}")
            elif isinstance(number, int) and not isinstance(number, bool) and number:
                screen.result(f"{padded(state_words(state), 15)} {number:,}")
        if found.stopping:
            why = told(found.problem) or tr("by hand; the next run goes on")
            screen.result(f"{padded(tr('stopped'), 15)} {why}")
        return 0

    return _perform(command, screen, verbosity)


@app.command
def retry(*, ledger: str = LEDGER, name: str = "default", verbosity: Verbosity = VERBOSITY) -> int:
    """Let the failed items wait again; batch run uploads them.

    Args:
        ledger: As for batch run.
        name: As for batch run.
    """
    screen = Screen(quiet=verbosity.quiet)

    async def command(_: signals.Signals) -> int:
        async with _known(None, ledger, name) as batch:
            again = await batch.retry_failed()
            screen.result(tr("{items} will be tried again by batch run", items=count(again, "item")))
        return 0

    return _perform(command, screen, verbosity)


@app.command
def stop(*, ledger: str = LEDGER, name: str = "default", verbosity: Verbosity = VERBOSITY) -> int:
    """Tell all runners of a batch, on all machines, to take no more items.

    Args:
        ledger: As for batch run.
        name: As for batch run.
    """
    screen = Screen(quiet=verbosity.quiet)

    async def command(_: signals.Signals) -> int:
        async with _known(None, ledger, name) as batch:
            await batch.stop()
        screen.note(tr("all runners end after what they are uploading; the next batch run goes on"))
        return 0

    return _perform(command, screen, verbosity)


@app.command
def report(
    file: Path | None = None,
    /,
    *,
    ledger: str = LEDGER,
    name: str = "default",
    urls: Flag = False,
    json: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Write what became of each item.

    With credentials, play pages of published videos are asked for; without, they are left out.

    Args:
        file: Where it is written, as .csv or .json; by default CSV on standard output.
        ledger: As for batch run.
        name: As for batch run.
        urls: With play URLs, one request for each video; they expire after about 15 minutes.
        json: Print JSON instead of CSV.
    """
    screen = account.screen(machine=json)
    if urls:
        account.check()

    async def written(cloud: AsyncVideoCloud | None) -> int:
        async with _known(cloud, ledger, name) as batch:
            found = await batch.report(urls=urls)
        if file is not None:
            found.write(file)
            screen.note(about(str(file), count(len(found), "item")))
        elif json:
            screen.record(json_text.loads(found.to_json()))
        else:
            screen.lines(found.to_csv())
        return 0

    async def command(_: signals.Signals) -> int:
        if not account.known:
            return await written(None)
        async with account.client() as cloud:
            return await written(cloud)

    return _perform(command, screen, account)


def _check_places(watch: Path | None, dask: str | None) -> None:
    """Where videos come from and where the batch runs.

    Raises:
        UsageError: it can't.
    """
    if watch is not None and not watch.is_dir():
        raise UsageError(tr("--watch {path}: there is no such folder", path=watch), tr("make it, or name another"))
    if watch is not None and dask is not None:
        raise UsageError(
            tr("--watch and --dask: a cluster has no folder to watch"),
            tr("watch the folder without --dask, on as many machines as you like"),
        )
    if dask is not None and not _has_port(dask):
        raise UsageError(
            tr("--dask {address}: no port", address=dask), tr("write it like tcp://scheduler.example:8786")
        )


def _check_numbers(concurrency: int, workers: int, settle: float) -> None:
    """What would be refused only after the items were added.

    Raises:
        UsageError: it can't be.
    """
    problem = ""
    if not 1 <= concurrency <= MOST_AT_ONCE:
        problem = f"--concurrency must be from 1 to {MOST_AT_ONCE}, not {concurrency}"
    elif workers < 1:
        problem = f"--workers must be at least 1, not {workers}"
    elif not 0 <= settle < math.inf:
        problem = f"--settle must be at least 0, not {settle:g}"
    if problem:
        raise UsageError(told(problem), tr("see iqiyi-async batch run --help"))


def _look(manifest: Manifest, screen: Screen) -> int:
    """A dry run."""
    found = manifest.check()
    if screen.machine:
        screen.record({"event": "dry_run", **attrs.asdict(found)})
        return FAILED if found.problems else 0
    for problem in found.problems:
        screen.say(told(problem))
    values = {"items": count(found.items, "item"), "bytes": f"{found.bytes:,}", "size": size(found.bytes)}
    line = tr("{items}: {bytes} bytes ({size}) to send", **values)
    if found.unknown:
        line += tr(", and {sources} whose size only its server knows", sources=count(found.unknown, "remote source"))
    screen.result(line)
    if found.problems:
        screen.result(count(len(found.problems), "problem"))
    return FAILED if found.problems else 0


def _batch(cloud: AsyncVideoCloud | None, ledger: str, settings: dict[str, Any]) -> Batch:
    try:
        return Batch(cloud, ledger, **settings)
    except ConfigurationError as error:
        raise UsageError(in_options(str(error)), tr("see iqiyi-async batch run --help")) from None


def _has_port(address: str) -> bool:
    """Whether the address of a scheduler is whole."""
    try:
        return urlsplit(address if "://" in address else f"tcp://{address}").port is not None
    except ValueError:
        return False


def _known(cloud: AsyncVideoCloud | None, ledger: str, name: str) -> Batch:
    """A batch to look at: a misspelt ledger is none, and is not made."""
    return _batch(cloud, ledger, {"name": name, "must_exist": True})


def _perform(command: Command, screen: Screen, verbosity: Verbosity) -> int:
    with screen, logging_to(screen, verbosity.level):
        return signals.run(command)
