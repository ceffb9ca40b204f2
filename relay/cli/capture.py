"""`relay capture` and `relay fixtures`: received webhooks as files, and as events for the tests of handlers."""

import sys
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from relay.cli.documents import json_option, print_json
from relay.cli.lines import files_to_read, lines_option, project_option
from relay.cli.tables import counted, say
from relay.cli.times import Moment
from relay.errors import CaptureError
from relay.investigation.capture import read_request
from relay.investigation.diagnosis import Capture
from relay.investigation.entries import Entry
from relay.local.display import width_of

KEPT = Path(".relay/captured")
FIXTURES = Path("tests/handlers/fixtures")
_DEFAULT_SINCE = timedelta(days=1)


@click.command(
    epilog="\b\nExamples:\n  relay capture\n  relay capture --event-type order_state_changed --since 2h\n"
    "  relay send --captured .relay/captured/*.json"
)
@lines_option
@project_option
@click.option("--since", type=Moment(), help="Leave out what was received before; a day ago.")
@click.option("--event-type", help="Only webhooks of this event type.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="Keep the newest ones.")
@click.option("--into", default=KEPT, show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--raw", "is_raw", is_flag=True, help="Keep bodies as they came, with personal data and signatures.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def capture(
    *, files: Sequence[str], project: str | None, since: datetime | None, event_type: str | None, limit: int,
    into: Path, is_raw: bool, as_json: bool,
) -> None:  # fmt: skip
    """Keep the webhooks that the receiver has logged as files, one for each, masked.

    A masked file keeps field names, ids, dates and states; every other value is "***", as with LOG_CONTENT=redacted.
    The log lines come from the files that --lines names, else from the local run in this folder, also after its end,
    else from Cloud Logging. Exit status 1 if no webhook is kept.
    """
    # Imported here, so that --help does not wait for Google's client.
    from relay.investigation.captured import KeptWebhook

    since = since or datetime.now(UTC) - _DEFAULT_SINCE
    lines, place = _lines(files, project, since)
    meant = (line for line in lines if line.kind == "webhook" and line.time >= since)
    fitting = (line for line in meant if event_type in (None, line.fields.get("event_type")))
    newest, older = deque[Entry](maxlen=limit), 0
    for line in fitting:
        older += len(newest) == limit
        newest.append(line)
    kept = [webhook for line in newest if (webhook := KeptWebhook.of(line, is_raw=is_raw)) is not None]
    for webhook in kept:
        write(into / webhook.file_name, webhook.text)
    if as_json:
        print_json([str(into / webhook.file_name) for webhook in kept])
    form = "raw" if is_raw else "masked"
    say(f"{counted(len(kept), 'webhook')} of {place} kept, {form}, in {into}", err=as_json)
    if older:
        say(f"{counted(older, 'older webhook')} left out: raise --limit, now {limit}", err=True)
    if len(newest) > len(kept):
        why = "the log does not hold their whole body (see LOG_CONTENT), or it is no JSON (see --raw)"
        say(f"{counted(len(newest) - len(kept), 'webhook')} left out: {why}", err=True)
    if not kept:
        sys.exit(1)


@click.command(epilog="\b\nExample:\n  relay fixtures")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@click.option("--into", default=FIXTURES, show_default=True, type=click.Path(file_okay=False, path_type=Path))
@json_option("[{file, name}]")
def fixtures(*, files: Sequence[str], into: Path, as_json: bool) -> None:
    """Make events for the tests of handlers from the FILES of `relay capture`, or from all in .relay/captured.

    There is one for each event type and new state, always masked. A file that is there already stays as it is.
    """
    from relay.investigation.captured import EventFixture

    names = files or [str(file) for file in sorted(KEPT.glob("*.json"))]
    if not names:
        raise CaptureError(f"There is no captured webhook in {KEPT}; make some: relay capture")
    made = []
    for name in names:
        event = EventFixture.of(read_file(name))
        if event is None:
            say(f"{name}: left out, since its body is no JSON object", err=True)
        elif not (into / f"{event.name}.json").exists():
            write(into / f"{event.name}.json", event.text)
            made.append({"file": f"{into / event.name}.json", "name": event.name})
    if as_json:
        print_json(made)
    for one in [] if as_json else made:
        _print_use(one["file"], f'make_event(..., captured="{one["name"]}")')
    say(f"{counted(len(made), 'fixture')} made of {counted(len(names), 'captured webhook')}", err=True)


def _print_use(file: str, code: str) -> None:
    width = width_of(sys.stdout)
    line = f"{file}: {code}"
    click.echo(line if width is None or len(line) <= width else f"{file}:\n  {code}")


def read_file(name: str) -> Capture:
    """Return the webhook in a file. Raises CaptureError with the file's name in one line."""
    try:
        return read_request(Path(name).read_bytes())
    except OSError as error:
        raise CaptureError(f"{name} cannot be read: {error.strerror}") from error
    except CaptureError as error:
        raise CaptureError(f"{name}: {error}") from error


def write(file: Path, text: str) -> None:
    """Write a file that only its owner can read. Raises CaptureError if that fails."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(text)
    except OSError as error:
        raise CaptureError(f"{file} cannot be written: {error.strerror}") from error


def _lines(files: Sequence[str], project: str | None, since: datetime) -> tuple[Iterable[Entry], object]:
    """Return the log lines, and what says in a text where they were read."""
    found = files_to_read(files, project)
    if found is not None:
        return found, found
    from relay.investigation.cloud_logging import CloudLog

    log = CloudLog.connected(project)
    return log.entries('jsonPayload.line="webhook"', since=since), log
