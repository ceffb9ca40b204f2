"""From what is declared to what has to be done: read what exists, compare, change."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby

from deploy.gcloud import AT_ONCE, Gcloud
from deploy.resources import ENABLED_APIS, Change, Found, Item

Say = Callable[[Change], None]


def look(gcloud: Gcloud, items: Sequence[Item]) -> Found:
    """Read everything that tells how `items` are. Raises DeployError."""
    found = Found(gcloud.read_all([ENABLED_APIS]))
    while True:
        asked = chain.from_iterable(item.lookups(found) for item in items)
        new = [command for command in dict.fromkeys(asked) if command not in found.printed]
        if not new:
            return found
        found = Found({**found.printed, **gcloud.read_all(new)})


def changes(gcloud: Gcloud, items: Sequence[Item]) -> list[Change]:
    """Return what brings `items` to what they are declared to be, in the order in which it works, each change once."""
    found = look(gcloud, items)
    return list(dict.fromkeys(change for item in items for change in item.changes(found)))


def removals(gcloud: Gcloud, items: Sequence[Item]) -> list[Change]:
    """Return what removes `items`, last made first."""
    found = look(gcloud, items)
    return [change for item in reversed(items) for change in item.removals(found)]


def carry_out(gcloud: Gcloud, wanted: Sequence[Change], *, say: Say) -> None:
    """Do what is wanted, telling each before; at once what may be. Raises DeployError at the first failure."""

    def do(change: Change) -> None:
        say(change)
        gcloud.change(change.command, stdin=change.stdin, patience_seconds=change.patience_seconds)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for kind, alike in groupby(wanted, key=lambda change: change.kind):
            for _ in pool.map(do, alike) if kind else map(do, alike):
                pass
