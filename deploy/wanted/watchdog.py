"""Optional: the clock that makes the worker look whether OneStock's webhooks are enabled."""

from deploy.installation import Installation
from deploy.resources import Item, Resource


def items(installation: Installation) -> list[Item]:
    """Return the declared items; none where there is no schedule."""
    schedule = installation.watchdog_schedule
    if not schedule:
        return []
    jobs, name = ("scheduler", "jobs"), "onestock-watchdog"
    where = f"--location={installation.region}"
    uri = f"{installation.worker_url}/onestock/watchdog"
    identity = {"serviceAccountEmail": installation.account("push"), "audience": installation.worker_url}
    flags = (
        f"--schedule={schedule}",
        "--time-zone=Etc/UTC",
        f"--uri={uri}",
        "--http-method=POST",
        "--attempt-deadline=60s",
        f"--oidc-service-account-email={identity['serviceAccountEmail']}",
        f"--oidc-token-audience={identity['audience']}",
    )
    job = Resource(
        what=f"scheduler job {name}",
        api="cloudscheduler.googleapis.com",
        listed_by=(*jobs, "list", where),
        identity={"name": name},
        settings={
            "schedule": schedule,
            "attemptDeadline": "60s",
            "httpTarget": {"uri": uri, "httpMethod": "POST", "oidcToken": identity},
        },
        create=(*jobs, "create", "http", name, where, *flags),
        update=(*jobs, "update", "http", name, where, *flags),
        delete=(*jobs, "delete", name, where),
    )
    return [job]
