"""The commands: their names, their options, their help. What a command does is its own module's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from iqiyi_async import AsyncVideoCloud, Category, SqliteJournal, UploadOptions

from . import batch, emulate, signals, videos
from . import demo as demonstration
from . import doctor as examination
from . import unfinished as leftovers
from .bandwidth import limited, timetable_of
from .display import display_for
from .failures import FAILED, MISUSED, UsageError
from .help import TranslatedHelp
from .jobs import jobs_for, split_tags
from .options import Account, Verbosity, bytes_or_auto, in_words, number_or_auto, upload_options
from .screen import Screen, logging_to
from .texts import tr
from .upload import Uploads, Wishes, report_bad_paths
from .version import version

HELP = """Upload videos to the iQIYI open-platform video cloud, and manage them.

The application's key and secret come from the environment variables IQIYI_APP_KEY and IQIYI_APP_SECRET."""

app: App = App(
    name="iqiyi-async",
    help=HELP,
    help_format="plaintext",
    help_formatter=TranslatedHelp(),
    version=version,
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

COMMANDS = frozenset(
    {"batch", "demo", "upload", "unfinished", "status", "list", "urls", "delete", "emulator", "doctor"}
)

app.command(batch.app)

ACCOUNT, VERBOSITY = Account(), Verbosity()
Command = Callable[[signals.Signals], Coroutine[Any, Any, int]]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]
OrAuto = int | Literal["auto"]
Number = Annotated[OrAuto, Parameter(converter=number_or_auto, show_choices=False)]
Size = Annotated[OrAuto, Parameter(converter=bytes_or_auto, show_choices=False, show_default=in_words)]
DEFAULTS = UploadOptions()


@app.command
def upload(
    *paths: Annotated[Path, Parameter(required=True)],
    name: str | None = None,
    description: Annotated[str, Parameter(show_default=False)] = "",
    tags: Annotated[list[str] | None, Parameter(negative="")] = None,
    category: Category | None = None,
    file_type: str | None = None,
    workers: Number = DEFAULTS.max_workers,
    chunk_size: Size = DEFAULTS.chunk_size,
    parameters: Literal["headers", "body"] = "headers",
    on_failure: Literal["keep", "cancel"] = "keep",
    wait: Flag = False,
    timeout: float | None = None,
    no_journal: Flag = False,
    again: Flag = False,
    key: str | None = None,
    max_bandwidth: str | None = None,
    json: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """Upload videos and have them published.

    An upload that was interrupted goes on when the same command is run again; one that is complete is not sent twice.
    The first Ctrl-C (or SIGTERM, SIGHUP) lets the chunks under way end, the second stops at once. What can't be
    uploaded (no such file, a folder, an empty file) is named at the beginning; the rest goes on.

    Args:
        paths: Video files; up to four are uploaded at a time, and share the workers.
        name: What the video is called; by default as its file, without the ending.
        description: What it shows.
        tags: Tags, separated by commas.
        category: What it is about.
        file_type: Such as mp4; by default the file's ending.
        workers: Chunks under way at once, over all files; auto finds out how many the link has use for.
        chunk_size: Bytes of a chunk: 4MiB, 512K, 1048576; auto follows the link.
        parameters: How a chunk says what it is; choose body if a proxy on the way drops headers.
        on_failure: What becomes of a failed upload: keep it, to go on later, or cancel it at the service.
        wait: Wait until the videos are published.
        timeout: How long to wait for each, in seconds.
        no_journal: Keep no record; an interrupted upload then starts over.
        again: Upload although the same bytes are a video already.
        key: Your own name for the file, by which an interrupted upload of it is found again in place of its path.
        max_bandwidth: The most bytes a second: 20MB, or by the time of day: 08:00-20:00=10MB,else=off.
        json: Print one JSON object per line: progress, and a result for each file.
    """
    if timeout is not None and not wait:
        raise UsageError(tr("--timeout is for --wait"), tr("give both, or neither"))
    if timeout is not None and not 0 <= timeout < float("inf"):
        raise UsageError(tr("--timeout must be a number of seconds, zero or more"), tr("such as --timeout 600"))
    if key is not None and len(paths) > 1:
        raise UsageError(tr("--key is for one file"), tr("without it each file is found again by its path"))
    about: dict[str, Any] = {"description": description, "tags": split_tags(tags or ()), "category": category}
    jobs, bad, repeated = jobs_for(paths, name, typed=file_type is not None, **about)
    wishes = Wishes(
        file_type=file_type,
        key=key,
        again=again,
        wait=wait,
        timeout=timeout,
        resumable=not no_journal and on_failure == "keep",
    )
    options = upload_options(max_workers=workers, chunk_size=chunk_size, parameters=parameters, on_failure=on_failure)
    timetable = timetable_of(max_bandwidth)
    account.check()
    screen = account.screen(machine=json, steadfast=True)
    journal = None if no_journal else SqliteJournal()

    async def command(caught: signals.Signals) -> int:
        report_bad_paths(screen, bad)
        for path in repeated:
            screen.note(tr("{path}: given twice; it is uploaded once", path=path))
        if not jobs:
            return MISUSED
        try:
            async with account.client(journal=journal, options=options) as cloud, limited(cloud, timetable):
                with display_for(screen, files=len(jobs), size=sum(job.size for job in jobs)) as display:
                    code = await Uploads(cloud, wishes, screen, display, caught).run(jobs)
                    return code if code or not bad else FAILED
        finally:
            if journal is not None:
                await journal.aclose()

    return _perform(command, screen, account)


@app.command
def unfinished(
    *file_ids: str,
    cancel: Flag = False,
    json: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """List uploads that were begun on this machine and are neither finished nor cancelled.

    Args:
        file_ids: Only these; by default all.
        cancel: Cancel them at the service, and forget them.
        json: Print one JSON object per line.
    """
    account.check()
    # What is to be cancelled is cancelled, whoever reads about it.
    screen = account.screen(machine=json, steadfast=cancel)
    journal = SqliteJournal()

    async def command(_: signals.Signals) -> int:
        try:
            async with account.client(journal=journal) as cloud:
                return await leftovers.show(cloud, journal, screen, file_ids, cancel=cancel)
        finally:
            await journal.aclose()

    return _perform(command, screen, account)


@app.command
def status(file_id: str, /, *, json: Json = False, account: Account = ACCOUNT) -> int:
    """Show where a video stands.

    Args:
        file_id: The video.
        json: Print a JSON object.
    """
    screen = account.screen(machine=json)
    return _ask(account, screen, lambda cloud: videos.show_status(cloud, screen, file_id))


@app.command(name="list")
def list_(
    *,
    page: int | None = None,
    page_size: int | None = None,
    all_: Annotated[bool, Parameter(name="--all", negative="", show_default=False)] = False,
    json: Json = False,
    account: Account = ACCOUNT,
) -> int:
    """List the videos that are transcoded and approved.

    Args:
        page: Which page; by default the first.
        page_size: Videos on a page, 1 to 100; by default 20.
        all_: All pages.
        json: Print a JSON object.
    """
    if all_ and page is not None:
        raise UsageError(tr("--all and --page don't go together"), tr("give one of them"))
    screen = account.screen(machine=json)
    each = (100 if all_ else 20) if page_size is None else page_size
    first = 1 if page is None else page
    return _ask(account, screen, lambda cloud: videos.show_list(cloud, screen, page=first, page_size=each, every=all_))


@app.command
def urls(file_id: str, /, *, resolve: Flag = False, json: Json = False, account: Account = ACCOUNT) -> int:
    """Show where a video can be played, for about 15 minutes.

    Args:
        file_id: The video.
        resolve: Make the second exchange, and show the URLs of the media themselves.
        json: Print a JSON object.
    """
    screen = account.screen(machine=json)
    return _ask(account, screen, lambda cloud: videos.show_urls(cloud, screen, file_id, resolve=resolve))


@app.command
def delete(
    *file_ids: Annotated[str, Parameter(required=True)],
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", show_default=False)] = False,
    account: Account = ACCOUNT,
) -> int:
    """Delete videos for good.

    Args:
        file_ids: The videos.
        yes: Do not ask.
    """
    screen = account.screen(steadfast=True)
    account.check()
    if not yes and not videos.confirm_deletion(screen, file_ids):
        screen.note(tr("nothing was deleted"))
        screen.close()
        return FAILED
    return _ask(account, screen, lambda cloud: videos.delete(cloud, screen, file_ids))


@app.command
def emulator(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    app_key: str | None = None,
    app_secret: str | None = None,
    data_dir: Path | None = None,
    publish_after: float | None = None,
    token_lifetime: float | None = None,
    faults: Path | None = None,
    public_url: str | None = None,
    verbosity: Verbosity = VERBOSITY,
) -> int:
    """Run an emulator of the service on loopback, for tests and trials.

    It prints one line of JSON when it is ready: endpoint_url, app_key, app_secret. Its address in a browser shows it at
    work; -v logs each request. SIGINT and SIGTERM end it with exit code 0.

    Args:
        host: A loopback address.
        port: 0 takes a free one.
        app_key: The key that it knows; it opens nothing else.
        app_secret: The secret that it knows; it opens nothing else.
        data_dir: A folder that keeps its state; by default nothing is kept.
        publish_after: Seconds from a complete upload to its publication.
        token_lifetime: Seconds that an access token lives.
        faults: A file with a plan of faults, in JSON.
        public_url: What the addresses that it hands out begin with, where a proxy stands before it.
    """
    config = emulate.config_for(
        faults,
        app_key=app_key,
        app_secret=app_secret,
        data_dir=data_dir,
        publish_after=publish_after,
        token_lifetime=token_lifetime,
        public_url=public_url,
    )
    screen = Screen(quiet=verbosity.quiet, steadfast=True)
    return _perform(lambda caught: emulate.serve(config, screen, caught, host=host, port=port), screen, verbosity)


@app.command
def demo(
    video: Path | None = None,
    /,
    *,
    keep: Annotated[bool, Parameter(negative=())] = False,
    verbosity: Verbosity = VERBOSITY,
) -> int:
    """Upload a video to an emulator on this machine, and see that it comes back unchanged.

    Args:
        video: A video file; by default a small one that comes with this program.
        keep: Let the emulator run until Ctrl-C, to look at its page and to try one's own program.
    """
    screen = Screen(quiet=verbosity.quiet)
    with demonstration.video_of(video) as path:
        return _perform(lambda caught: demonstration.run(screen, path, caught if keep else None), screen, verbosity)


@app.command
def doctor(*, json: Json = False, account: Account = ACCOUNT) -> int:
    """Find out whether uploads can work from here, and with which options.

    It looks at the environment, the credentials, the folders of tokens and uploads, each address of the service and
    the clock, and makes a small test upload that is cancelled. Exit code 1 if something would fail.

    Args:
        json: Print a JSON object.
    """
    screen = account.screen(machine=json)
    return _perform(lambda _: examination.examine(account, screen), screen, account)


def _ask(account: Account, screen: Screen, question: Callable[[AsyncVideoCloud], Coroutine[Any, Any, int]]) -> int:
    """A command that needs a client and nothing else."""

    async def command(_: signals.Signals) -> int:
        async with account.client() as cloud:
            return await question(cloud)

    return _perform(command, screen, account)


def _perform(command: Command, screen: Screen, verbosity: Verbosity) -> int:
    with screen, logging_to(screen, verbosity.level):
        return signals.run(command)
