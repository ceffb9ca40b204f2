"""Checks of the services' settings: do they parse, are the hash keys there, are the limits in their order. No I/O."""

from collections.abc import Callable, Iterator, Mapping

from relay.doctor import commands
from relay.doctor.facts import Facts, Missing, Service, Subscription
from relay.doctor.findings import Absent, Finding, about, bad, good, unknown
from relay.errors import ConfigurationError
from relay.settings.base import split_commas
from relay.settings.doctor import DoctorSettings
from relay.settings.receiver import ReceiverSettings
from relay.settings.worker import WorkerSettings
from relay.topology import Topology

ONESTOCK_WAITS_SECONDS = 15  # "Webhook configuration" (OneStock).
HASH_KEYS = "ONESTOCK_HASH_KEYS"
_EXAMPLE_KEYS = {"test-key-made-for-this-file"}  # .env.example's
LARGEST_BUDGET_SECONDS = 599  # Below the largest ack deadline.
_LIMITS = ("HANDLER_BUDGET_SECONDS", "ACK_DEADLINE_SECONDS", "LEASE_SECONDS")


def check(facts: Facts, wanted: Topology) -> Iterator[Finding]:
    """Yield the findings."""
    settings = facts.settings
    yield _settings("receiver's settings", facts.receiver, settings.receiver_service, settings, _read_receiver)
    yield _settings("worker's settings", facts.worker, settings.worker_service, settings, _read_worker)
    missing = "the receiver"
    yield about("hash keys", facts.receiver, lambda receiver: _hash_keys(receiver, settings), missing=missing)
    yield about("receiver's time", facts.receiver, lambda found: _receiver_time(found, settings), missing=missing)
    pushed = facts.subscription if isinstance(facts.subscription, Subscription) else None
    ack_deadline = pushed.ack_deadline_seconds if pushed else wanted.ack_deadline_seconds
    yield about("limits", facts.worker, lambda found: _limits(found, ack_deadline, settings), missing="the worker")


def _settings(
    check: str, service: Service | Missing, name: str, settings: DoctorSettings, read: Callable[[Service], None]
) -> Finding:
    if isinstance(service, Absent):
        return bad(check, f"there is no Cloud Run service {name} in {settings.region}; set REGION, or deploy it")
    return about(check, service, lambda found: _valid(check, found, read), missing=name)


def _valid(check: str, service: Service, read: Callable[[Service], None]) -> Finding:
    hidden = sorted(set(service.unreadable) - {HASH_KEYS})
    if hidden:
        return unknown(check, f"{', '.join(hidden)}: the secrets may not be read here")
    try:
        read(service)
    except ConfigurationError as error:
        return bad(check, f"{service.name}: {error}")
    return good(check, f"{service.name} has what it needs")


def _read_receiver(service: Service) -> None:
    """Raise ConfigurationError as the receiver's start would, the hash keys aside: they have a check of their own."""
    ReceiverSettings.from_environ({**service.environ, HASH_KEYS: "stand-in"})


def _read_worker(service: Service) -> None:
    """Raise ConfigurationError as the worker's start would, the limits aside: they have a check of their own."""
    environ = {name: value for name, value in service.environ.items() if name not in _LIMITS}
    budget = _number(service, "HANDLER_BUDGET_SECONDS", WorkerSettings)
    if budget is not None:
        # The calls that a handler makes must fit into its budget; whether the budget itself fits is the other check.
        environ["HANDLER_BUDGET_SECONDS"] = f"{min(budget, LARGEST_BUDGET_SECONDS):g}"
    WorkerSettings.from_environ(environ)


def _hash_keys(receiver: Service, settings: DoctorSettings) -> Finding:
    check = "hash keys"
    if HASH_KEYS in receiver.unreadable:
        return unknown(check, f"{receiver.unreadable[HASH_KEYS]}; ask for roles/secretmanager.secretAccessor")
    mode = receiver.environ.get("ONESTOCK_SIGNATURE") or "required"
    if mode != "required":
        return unknown(check, f"ONESTOCK_SIGNATURE is {mode}: webhooks are accepted from anybody")
    keys = split_commas(receiver.environ.get(HASH_KEYS, ""))
    problem = _problem_of(keys)
    if problem is None:
        return good(check, f"{len(keys)} of them, newest first")
    if settings.emulator_host:
        return bad(check, f"{HASH_KEYS}: {problem}", f"export {HASH_KEYS}=NEWEST,OLDER")
    flag = f"--update-secrets={HASH_KEYS}=onestock-hash-keys:latest"
    new_version = (
        f"printf %s 'NEWEST,OLDER' | gcloud secrets versions add onestock-hash-keys --project={settings.project} "
        "--data-file=-"
    )
    update = commands.update_service(settings.receiver_service, settings.project, settings.region, flag)
    return bad(check, f"{HASH_KEYS}: {problem}", new_version, update)


def _problem_of(keys: tuple[str, ...]) -> str | None:
    """Say what is wrong with the keys, without ever repeating one."""
    if not keys:
        return "missing: every webhook is refused"
    if any(key in _EXAMPLE_KEYS for key in keys):
        return "holds the example's key, which everybody knows"
    if any(key[0] in "\"'" or not key.isprintable() or " " in key for key in keys):
        return "a key holds quotes, spaces or control characters: OneStock's does not, so no signature matches"
    if len(set(keys)) < len(keys):
        return "a key is listed twice"
    return None


def _receiver_time(receiver: Service, settings: DoctorSettings) -> Finding:
    check, budget = "receiver's time", _number(receiver, "PUBLISH_BUDGET_SECONDS", ReceiverSettings)
    if budget is None:
        return unknown(check, "PUBLISH_BUDGET_SECONDS is no number")
    if receiver.timeout_seconds is None:
        return unknown(check, f"gives up after {budget:g} s; there is no Cloud Run timeout on this machine")
    if not budget < receiver.timeout_seconds:
        mend = _timeout(settings.receiver_service, settings, ONESTOCK_WAITS_SECONDS)
        text = f"Cloud Run breaks off after {receiver.timeout_seconds:g} s, the publish budget is {budget:g} s"
        return bad(check, text, mend)
    return good(check, f"gives up after {budget:g} s, before Cloud Run ({receiver.timeout_seconds:g} s) and OneStock")


def _limits(worker: Service, ack_deadline: float, settings: DoctorSettings) -> Finding:
    check = "limits"
    found = {name: _number(worker, name, WorkerSettings) for name in _LIMITS}
    budget, believed, lease = found.values()
    if budget is None or believed is None or lease is None:
        return bad(check, f"not a number: {', '.join(name for name, value in found.items() if value is None)}")
    timeout = worker.timeout_seconds
    order = (
        f"budget {budget:g} < Cloud Run {'?' if timeout is None else f'{timeout:g}'} <= ack deadline {ack_deadline:g}"
    )
    order = f"{order} < lease {lease:g}"
    problems: dict[str, str] = {}
    if not budget < (timeout or ack_deadline):
        problems["HANDLER_BUDGET_SECONDS"] = f"{WorkerSettings.model_fields['handler_budget_seconds'].default:g}"
    if not ack_deadline < lease:
        problems["LEASE_SECONDS"] = f"{ack_deadline + 60:g}"
    if believed != ack_deadline:
        problems["ACK_DEADLINE_SECONDS"] = f"{ack_deadline:g}"
    if timeout is not None and timeout > ack_deadline:
        text = f"must be {order}: Pub/Sub repeats what Cloud Run still lets run"
        return bad(check, text, _timeout(settings.worker_service, settings, ack_deadline))
    if problems:
        return bad(check, f"must be {order}; wrong: {', '.join(problems)}", _set(problems, settings))
    if timeout is None:
        return unknown(check, f"{order}: there is no Cloud Run timeout on this machine, the others are in order")
    return good(check, order)


def _set(variables: Mapping[str, str], settings: DoctorSettings) -> str:
    if settings.emulator_host:
        return "export " + " ".join(f"{name}={value}" for name, value in variables.items())
    return commands.update_service(settings.worker_service, settings.project, settings.region, variables=variables)


def _timeout(service: str, settings: DoctorSettings, seconds: float) -> str:
    return commands.update_service(service, settings.project, settings.region, f"--timeout={seconds:g}")


def _number(service: Service, variable: str, model: type[ReceiverSettings] | type[WorkerSettings]) -> float | None:
    field = next(field for field in model.model_fields.values() if field.alias == variable)
    try:
        return float(service.environ.get(variable) or field.default)
    except ValueError:
        return None
