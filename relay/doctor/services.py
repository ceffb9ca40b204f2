"""Checks of the services' settings: are they valid, are the hash keys there, are the limits in order. No I/O."""

from collections.abc import Callable, Iterator, Mapping

from relay.doctor import commands
from relay.doctor.facts import Facts, Missing, Service, Subscription, Topic
from relay.doctor.findings import Absent, Finding, bad, good, judged, unknown
from relay.errors import ConfigurationError
from relay.settings.base import split_commas
from relay.settings.doctor import DoctorSettings
from relay.settings.receiver import ReceiverSettings
from relay.settings.worker import WorkerSettings
from relay.topology import COMPLETED_RUNS_ARE_REMEMBERED_SECONDS, Topology

ONESTOCK_WAITS_SECONDS = 15  # "Webhook configuration" (OneStock).
HASH_KEYS = "ONESTOCK_HASH_KEYS"
_EXAMPLE_KEYS = {"test-key-made-for-this-file"}  # .env.example's
_LARGEST_BUDGET_SECONDS = 599  # Below the largest ack deadline.
_DAY_SECONDS = 86_400
_LIMITS = ("HANDLER_BUDGET_SECONDS", "ACK_DEADLINE_SECONDS", "LEASE_SECONDS")


def check(facts: Facts, wanted: Topology) -> Iterator[Finding]:
    """Yield the findings."""
    settings, receiver, worker = facts.settings, facts.receiver, facts.worker
    yield _settings("receiver's settings", receiver, settings.receiver_service, settings, _read_receiver)
    yield _settings("worker's settings", worker, settings.worker_service, settings, _read_worker)
    name = "the receiver"
    yield judged("hash keys", receiver, lambda found: _hash_keys(found, settings), name=name)
    yield judged("receiver's time", receiver, lambda found: _receiver_time(found, settings), name=name)
    pushed = facts.subscription if isinstance(facts.subscription, Subscription) else None
    ack_deadline = pushed.ack_deadline_seconds if pushed else wanted.ack_deadline_seconds
    yield judged("limits", worker, lambda found: _limits(found, ack_deadline, settings), name="the worker")
    yield judged("memory of runs", worker, lambda found: _memory(found, facts), name="the worker")


def _settings(
    check: str, service: Service | Missing, name: str, settings: DoctorSettings, read: Callable[[Service], None]
) -> Finding:
    if isinstance(service, Absent):
        return bad(check, f"there is no Cloud Run service {name} in {settings.region}; set REGION, or deploy it")
    return judged(check, service, lambda found: _valid(check, found, read), name=name)


def _valid(check: str, service: Service, read: Callable[[Service], None]) -> Finding:
    hidden = sorted(set(service.unreadable) - {HASH_KEYS})
    if hidden:
        return unknown(check, f"{', '.join(hidden)}: your account may not read the secrets")
    try:
        read(service)
    except ConfigurationError as error:
        return bad(check, f"{service.name}: {error}")
    return good(check, f"{service.name}: every setting is valid")


def _read_receiver(service: Service) -> None:
    """Raise ConfigurationError as the receiver would at its start; the hash keys have a check of their own."""
    ReceiverSettings.from_environ({**service.environ, HASH_KEYS: "stand-in"})


def _read_worker(service: Service) -> None:
    """Raise ConfigurationError as the worker would at its start; limits and memory have checks of their own."""
    environ = {name: value for name, value in service.environ.items() if name not in {*_LIMITS, "RETENTION_SECONDS"}}
    budget = _number(service, "HANDLER_BUDGET_SECONDS", WorkerSettings)
    if budget is not None:
        # A handler's calls must fit into its budget; the check of the limits says whether the budget fits.
        environ["HANDLER_BUDGET_SECONDS"] = f"{min(budget, _LARGEST_BUDGET_SECONDS):g}"
    WorkerSettings.from_environ(environ)


def _hash_keys(receiver: Service, settings: DoctorSettings) -> Finding:
    check = "hash keys"
    if HASH_KEYS in receiver.unreadable:
        return unknown(check, f"{receiver.unreadable[HASH_KEYS]}; ask for roles/secretmanager.secretAccessor")
    mode = receiver.environ.get("ONESTOCK_SIGNATURE") or "required"
    if mode != "required":
        return unknown(check, f"ONESTOCK_SIGNATURE is {mode}: the receiver takes webhooks from anybody")
    keys = split_commas(receiver.environ.get(HASH_KEYS, ""))
    problem = _problem_of(keys)
    if problem is None:
        return good(check, "one" if len(keys) == 1 else f"{len(keys)} of them, newest first")
    if settings.emulator_host:
        return bad(check, f"{HASH_KEYS}: {problem}", f"export {HASH_KEYS}=NEWEST,OLDER")
    flag = f"--update-secrets={HASH_KEYS}=onestock-hash-keys:latest"
    new_version = (
        f"printf %s 'NEWEST,OLDER' | gcloud secrets versions add onestock-hash-keys --project={settings.project} "
        "--data-file=-"
    )
    update = commands.of_service(settings, settings.receiver_service, receiver).update(flag)
    return bad(check, f"{HASH_KEYS}: {problem}", new_version, *update)


def _problem_of(keys: tuple[str, ...]) -> str | None:
    """Return what is wrong with the keys; the text never holds a key."""
    if not keys:
        return "missing: the receiver refuses every webhook"
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
    if receiver.serving is None:
        return unknown(check, f"gives up after {budget:g} s; there is no Cloud Run timeout on this machine")
    timeout = receiver.serving.timeout_seconds
    if not budget < timeout:
        service = commands.of_service(settings, settings.receiver_service, receiver)
        text = f"Cloud Run ends the request after {timeout:g} s, the publish budget is {budget:g} s"
        return bad(check, text, *service.update(f"--timeout={ONESTOCK_WAITS_SECONDS:g}"))
    return good(check, f"gives up after {budget:g} s, before Cloud Run ({timeout:g} s) and OneStock")


def _limits(worker: Service, ack_deadline: float, settings: DoctorSettings) -> Finding:
    check = "limits"
    found = {name: _number(worker, name, WorkerSettings) for name in _LIMITS}
    budget, assumed, lease = found.values()
    if budget is None or assumed is None or lease is None:
        return bad(check, f"not a number: {', '.join(name for name, value in found.items() if value is None)}")
    timeout = worker.serving.timeout_seconds if worker.serving else None
    shown = "?" if timeout is None else f"{timeout:g}"
    order = f"budget {budget:g} < Cloud Run {shown} <= ack deadline {ack_deadline:g} < lease {lease:g}"
    if timeout is not None and timeout > ack_deadline:
        text = f"must be {order}: Pub/Sub repeats an event while Cloud Run still lets its handlers run"
        service = commands.of_service(settings, settings.worker_service, worker)
        return bad(check, text, *service.update(f"--timeout={ack_deadline:g}"))
    problems: dict[str, str] = {}
    if not budget < (timeout or ack_deadline):
        problems["HANDLER_BUDGET_SECONDS"] = f"{WorkerSettings.model_fields['handler_budget_seconds'].default:g}"
    if not ack_deadline < lease:
        problems["LEASE_SECONDS"] = f"{ack_deadline + 60:g}"
    if assumed != ack_deadline:
        problems["ACK_DEADLINE_SECONDS"] = f"{ack_deadline:g}"
    if problems:
        return bad(check, f"must be {order}; wrong: {', '.join(problems)}", *_set(problems, worker, settings))
    if timeout is None:
        return unknown(check, f"{order}: there is no Cloud Run timeout on this machine, the others are in order")
    return good(check, order)


def _memory(worker: Service, facts: Facts) -> Finding:
    """Judge whether the worker remembers a completed run for longer than its event can come back."""
    check, remembered = "memory of runs", _number(worker, "RETENTION_SECONDS", WorkerSettings)
    if remembered is None:
        return unknown(check, "RETENTION_SECONDS is no number")
    waiting, dead_letters, kept = facts.subscription, facts.dead_letter_topic, facts.dead_letter_subscription
    if not (isinstance(waiting, Subscription) and isinstance(dead_letters, Topic) and isinstance(kept, Subscription)):
        return unknown(check, "the retentions to compare it with could not be read")
    # An event waits, becomes a dead letter on its last day, comes back on the dead letter's last day, and waits again.
    dead_seconds = max(dead_letters.message_retention_duration, kept.message_retention_duration)
    comes_back_seconds = 2 * waiting.message_retention_duration + dead_seconds
    text = f"runs are remembered for {commands.days(remembered)}, an event can come back for"
    text = f"{text} {commands.days(comes_back_seconds)}"
    if not remembered > comes_back_seconds:
        enough = max(comes_back_seconds + _DAY_SECONDS, COMPLETED_RUNS_ARE_REMEMBERED_SECONDS)
        variables = {"RETENTION_SECONDS": f"{enough:.0f}"}
        return bad(check, f"{text}: a redrive repeats what is done", *_set(variables, worker, facts.settings))
    return good(check, text)


def _set(variables: Mapping[str, str], worker: Service, settings: DoctorSettings) -> tuple[str, ...]:
    if settings.emulator_host:
        return ("export " + " ".join(f"{name}={value}" for name, value in variables.items()),)
    return commands.of_service(settings, settings.worker_service, worker).update(variables=variables)


def _number(service: Service, variable: str, model: type[ReceiverSettings] | type[WorkerSettings]) -> float | None:
    field = next(field for field in model.model_fields.values() if field.alias == variable)
    try:
        return float(service.environ.get(variable) or field.default)
    except ValueError:
        return None
