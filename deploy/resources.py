"""What can be declared: APIs, resources, grants. Each says what is missing, given what is.

No I/O: `plan.py` reads and changes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.errors import DeployError
from deploy.gcloud import PATIENCE_SECONDS, Command

NAME = "{name}"
"""Stands in a command for the name that Google gave the resource."""
ENABLED_APIS: Command = ("services", "list", "--enabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One command that changes something, and why."""

    what: str
    command: Command
    stdin: str = field(default="", repr=False)  # May be a secret.
    kind: str = ""
    """Neighbours of one kind do not depend on each other."""
    patience_seconds: float = PATIENCE_SECONDS
    """How long Google may need to know what the command speaks of, if that was made just before."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the reading commands printed so far. What was not asked for, since it cannot exist yet, is not there."""

    printed: Mapping[Command, Any]

    def rows(self, command: Command) -> list[dict[str, Any]]:
        """Return what a list command printed; the API prints the rows under a name, and nothing where there is none."""
        printed = self.printed.get(command) or []
        if isinstance(printed, Mapping):
            return next((rows for rows in printed.values() if isinstance(rows, list)), [])
        return list(printed)

    def bindings(self, command: Command) -> list[dict[str, Any]]:
        """Return the bindings that a get-iam-policy command printed."""
        bindings: list[dict[str, Any]] = (self.printed.get(command) or {}).get("bindings", [])
        return bindings

    def has_api(self, api: str) -> bool:
        """Return whether an API is on."""
        return any(row["config"]["name"] == api for row in self.rows(ENABLED_APIS))


class Item(ABC):
    """Something that is declared."""

    __slots__ = ()

    def lookups(self, found: Found) -> Iterator[Command]:  # noqa: ARG002 - some items need none
        """Yield the commands that tell how it is, as far as they make sense after what was found so far."""
        yield from ()

    @abstractmethod
    def changes(self, found: Found) -> Iterator[Change]:
        """Yield what brings it to what is declared. Raises DeployError if nothing can."""

    def removals(self, found: Found) -> Iterator[Change]:  # noqa: ARG002 - some items go with another one, or stay
        """Yield what removes it."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Apis(Item):
    """Google's APIs, which must be on before anything of theirs can be made. A teardown leaves them on."""

    names: tuple[str, ...]

    def changes(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        missing = tuple(name for name in self.names if not found.has_api(name))
        if missing:
            yield Change(what=f"enable {len(missing)} APIs", command=("services", "enable", *missing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Item):
    """Something that exists once, is found in a list, and has settings."""

    what: str
    api: str
    inside: "Resource | None" = None
    """What must exist before it can be looked for."""
    listed_by: Command
    identity: Mapping[str, str]
    """The fields by which it is found in the list; `name` is the last part of what gcloud prints."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What it must be like, as gcloud prints it; everything else may be as it likes."""
    create: Command
    update: Command | None = None
    """None: nothing of it can be changed."""
    flags: Mapping[str, Command] | None = None
    """What to add to `create`, and to `update` for the settings that are wrong. None: `update` changes them all."""
    held: Mapping[str, tuple[Command, str]] = field(default_factory=dict)
    """Settings that stay as they are while the list that a command prints has something of that name."""
    delete: Command | None = None
    """None: it goes with something else, or a teardown leaves it."""
    stdin: str = ""
    is_applied: bool = True
    """False: apply leaves it as it is, and a teardown deletes it."""

    def existing(self, found: Found) -> dict[str, Any] | None:
        """Return the resource as it is, None if it is not there."""
        for row in found.rows(self.listed_by):
            if all(_is(row, key, value) for key, value in self.identity.items()):
                return row
        return None

    def lookups(self, found: Found) -> Iterator[Command]:
        """See `Item`."""
        if found.has_api(self.api) and (self.inside is None or self.inside.existing(found)):
            yield self.listed_by

    def changes(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        existing = self.existing(found)
        if not self.is_applied:
            return
        if existing is None:
            command = self.create + self._flags(self.flags or ())
            yield Change(what=f"create {self.what}", command=command, stdin=self.stdin, kind=self._kind)
            return
        wrong = [
            key
            for key, wanted in self.settings.items()
            if not agrees(wanted, existing.get(key)) and not self._is_held(key, found)
        ]
        if not wrong:
            return
        fixed = wrong if self.update is None else [key for key in wrong if self.flags and key not in self.flags]
        if self.update is None or fixed:
            raise DeployError(f"{self.what}: {', '.join(fixed)} cannot be changed; delete it and apply again")
        command = _named(self.update, existing) + self._flags(wrong if self.flags else ())
        yield Change(what=f"update {self.what}: {', '.join(wrong)}", command=command, stdin=self.stdin, kind=self._kind)

    def removals(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        existing = self.existing(found)
        if existing is not None and self.delete is not None:
            yield Change(what=f"delete {self.what}", command=_named(self.delete, existing), kind=self._kind)

    def _is_held(self, setting: str, found: Found) -> bool:
        if setting not in self.held:
            return False
        listed_by, name = self.held[setting]
        return any(_is(row, "name", name) for row in found.rows(listed_by))

    def _flags(self, settings: Iterable[str]) -> Command:
        return tuple(flag for setting in settings for flag in (self.flags or {})[setting])

    @property
    def _kind(self) -> str:
        return " ".join(self.listed_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(Item):
    """A role of a member on something that has an IAM policy."""

    group: Command
    """gcloud's commands for what has the policy, such as `pubsub topics`."""
    name: str
    flags: Command = ()
    on: Resource | None = None
    """What has the policy; None for what was there before: the project, or a service just deployed."""
    member: str
    role: str
    condition: str = ""
    """An expression; empty for a grant without one."""
    agent_of: str = ""
    """The API whose own account the member is: Google makes it at the API's first use, or when it is asked to."""

    @classmethod
    def on_resource(cls, on: Resource, member: str, role: str, *, agent_of: str = "") -> "Grant":
        """Return a grant on what is declared: gcloud names it as its list does, and by its identity."""
        where = on.listed_by.index("list")
        group, flags = on.listed_by[:where], on.listed_by[where + 1 :]
        [name] = on.identity.values()
        return cls(group=group, name=name, flags=flags, on=on, member=member, role=role, agent_of=agent_of)

    @property
    def policy(self) -> Command:
        """The command that reads the policy."""
        return (*self.group, "get-iam-policy", self.name, *self.flags)

    def lookups(self, found: Found) -> Iterator[Command]:
        """See `Item`."""
        if self.on is None:
            # Before the first run this API is off, and gcloud fails to read the project's policy.
            if found.has_api("cloudresourcemanager.googleapis.com"):
                yield self.policy
        elif self.on.existing(found):
            yield self.policy

    def changes(self, found: Found) -> Iterator[Change]:
        """See `Item`."""
        if self._is_given(found):
            return
        if self.agent_of:
            command = ("beta", "services", "identity", "create", f"--service={self.agent_of}")
            yield Change(what=f"make sure that the account of {self.agent_of} exists", command=command)
        yield self._change("grant", "add-iam-policy-binding")

    def removals(self, found: Found) -> Iterator[Change]:
        """Yield what takes it back; what is deleted takes its grants with it."""
        if self.on is None and self._is_given(found):
            yield self._change("revoke", "remove-iam-policy-binding")

    def _is_given(self, found: Found) -> bool:
        return any(
            binding["role"] == self.role
            and self.member in binding["members"]
            and binding.get("condition", {}).get("expression", "") == self.condition
            for binding in found.bindings(self.policy)
        )

    def _change(self, verb: str, command: str) -> Change:
        # Without it gcloud asks as soon as any grant of the project has a condition.
        condition = f"^;^title=onestock-relay;expression={self.condition}" if self.condition else "None"
        takes_condition = self.group[0] != "pubsub"
        return Change(
            what=f"{verb} {self.role} on {self.name} to {self.member}",
            command=(
                *(*self.group, command, self.name, *self.flags),
                f"--member={self.member}",
                f"--role={self.role}",
                *((f"--condition={condition}",) if takes_condition else ()),
            ),
        )


def agrees(wanted: Any, found: Any) -> bool:
    """Return whether what was found has everything that is wanted; it may have more fields.

    Google leaves out what is zero, empty or false; what is wanted empty must be so.
    """
    if not wanted:
        return not found
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(agrees(value, found.get(key)) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(agrees(*pair) for pair in zip(wanted, found, strict=True))
        )
    if isinstance(found, str) and isinstance(wanted, int):
        return str(wanted) == found  # 64-bit numbers are strings in Google's JSON.
    return bool(wanted == found)


def _is(row: Mapping[str, Any], key: str, value: str) -> bool:
    # A full name holds the project's id with some products and its number with others.
    found = str(row.get(key, ""))
    return (found.rpartition("/")[2] if key == "name" else found) == value


def _named(command: Command, existing: Mapping[str, Any]) -> Command:
    return tuple(str(existing["name"]) if word == NAME else word for word in command)
