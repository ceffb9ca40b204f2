"""`relay signature`: sign a body as OneStock does, and find out how a captured webhook is signed."""

import sys
import time
from dataclasses import asdict
from functools import partial
from typing import BinaryIO

import click

from relay.cli.documents import json_option, print_json
from relay.cli.keys import keys_option, signed_string_option
from relay.cli.tables import say
from relay.investigation.capture import FORMS, read_captures
from relay.investigation.diagnosis import Capture, Diagnosis, diagnose
from relay.receiver.signature import HEADER, sign
from relay.settings.receiver import SignedString


@click.group()
def signature() -> None:
    """Sign webhooks, and diagnose signatures that are refused."""


@signature.command(
    "diagnose",
    epilog=(
        "\b\nExamples:\n"
        "  relay signature diagnose captured.http\n"
        "  gcloud logging read 'jsonPayload.status=401' --format=json | relay signature diagnose"
    ),
    help=f"Try every reading of a captured signature, and name the one that matches.\n\nFILE, or standard input, holds "
    f"{FORMS}. Exit status 1 if no reading matches.",
)
@click.argument("file", type=click.File("rb"), default="-")
@keys_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def diagnose_command(*, file: BinaryIO, keys: tuple[bytes, ...], as_json: bool) -> None:
    """Diagnose each captured webhook in the file."""
    captures = read_captures(file.read())
    diagnoses = [diagnose(capture, keys) for capture in captures]
    if as_json:
        print_json([_fields_of(diagnosis) for diagnosis in diagnoses])
    else:
        for number, (capture, diagnosis) in enumerate(zip(captures, diagnoses, strict=True), start=1):
            click.echo(f"webhook {number} of {len(captures)}, {len(capture.body)} bytes")
            _print(capture, diagnosis, keys)
    if any(diagnosis.reading is None for diagnosis in diagnoses):
        sys.exit(1)


@signature.command(
    "sign",
    epilog=(
        "\b\nExamples:\n"
        '  echo -n \'{"order_id":"ORD-1"}\' > body.json\n'
        '  curl -H "$(relay signature sign body.json)" --data-binary @body.json '
        "http://127.0.0.1:8080/webhooks/onestock/order_state_changed"
    ),
)
@click.argument("file", type=click.File("rb"), default="-")
@keys_option
@signed_string_option
@click.option("--timestamp", type=click.IntRange(min=0), help="Unix seconds; now.")
@click.option("--separator", type=click.Choice([",", "."]), default=",", show_default=True)
@json_option("{name, value, timestamp}")
def sign_command(
    *, file: BinaryIO, keys: tuple[bytes, ...], signed_string: SignedString, timestamp: int | None, separator: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Print the header that OneStock would send with the body in FILE, or on standard input."""
    now = int(time.time()) if timestamp is None else timestamp
    header = sign(file.read(), keys=keys, timestamp=now, signed_string=signed_string, separator=separator)
    if as_json:
        print_json({"name": HEADER, "value": header, "timestamp": now})
    else:
        click.echo(f"{HEADER}: {header}")


def _fields_of(diagnosis: Diagnosis) -> dict[str, object]:
    reading = diagnosis.reading
    more = {} if reading is None else {"text": str(reading), "signed_string_setting": reading.setting}
    return {**asdict(diagnosis), **more}


def _print(capture: Capture, diagnosis: Diagnosis, keys: tuple[bytes, ...]) -> None:
    print_line = partial(say, indent=11)
    for text in diagnosis.seen:
        print_line(f"  saw      {text}")
    if not diagnosis.seen:
        names = ", ".join(name for name, _ in capture.headers) or "none"
        print_line(f"  saw      no header that may hold a signature; the headers are: {names}")
    if not capture.body_is_whole:
        print_line("  body     cut or masked in the log: only signatures over the timestamp alone can be found")
    reading = diagnosis.reading
    if reading is None:
        print_line(
            f"  reading  none of {diagnosis.tried} matches with any of {len(keys)} keys: another key or another "
            "body was signed (a proxy, or the capture, may have changed the body)"
        )
        return
    print_line(f"  reading  {reading}")
    if reading.setting is None:
        print_line("  relay    cannot read this: relay/receiver/signature.py has to be extended")
    else:
        print_line(f"  relay    reads this with ONESTOCK_SIGNED_STRING={reading.setting}")
