"""APIs, service accounts, and what these may do in the whole project. Narrower grants stand with what they are on."""

from deploy.installation import Installation
from deploy.resources import Apis, Grant, Item, Resource

_APIS = (
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
)
# Named in docs/security-review.md, with what each allows.
_ROLES_OF_THE_BUILD = (
    "roles/iam.securityReviewer",  # sees that there is nothing to grant
    "roles/logging.configWriter",  # the log-based metrics; Google has no narrower role for them
    "roles/logging.logWriter",  # the build's own log
    "roles/logging.viewer",  # the worker's line about the smoke event
    "roles/monitoring.alertPolicyEditor",
    "roles/monitoring.dashboardEditor",
    "roles/monitoring.notificationChannelViewer",
    "roles/pubsub.editor",  # topics and subscriptions, not their policies; the smoke event
    "roles/run.admin",  # the services, and who may call them
    "roles/serviceusage.serviceUsageConsumer",  # which APIs are on; calls count for this project
)


def account(installation: Installation, role: str, what: str) -> Resource:
    """Return one of the relay's service accounts."""
    email = installation.account(role)
    return Resource(
        what=f"service account {email}",
        api="iam.googleapis.com",
        listed_by=("iam", "service-accounts", "list"),
        identity={"email": email},
        settings={"displayName": what},
        create=("iam", "service-accounts", "create", email.partition("@")[0], f"--display-name={what}"),
        update=("iam", "service-accounts", "update", email, f"--display-name={what}"),
        delete=("iam", "service-accounts", "delete", email),
    )


def items(installation: Installation) -> list[Item]:
    """Return the declared items."""
    build = account(installation, "build", "OneStock relay: builds and deploys")
    receiver = account(installation, "receiver", "OneStock relay: receiver")
    worker = account(installation, "worker", "OneStock relay: worker")
    push = account(installation, "push", "OneStock relay: pushes to the worker")
    optional = (
        ("bigquery.googleapis.com", installation.bigquery_dataset),
        ("cloudscheduler.googleapis.com", installation.watchdog_schedule),
        ("compute.googleapis.com", installation.armor_policy),
    )
    apis = Apis((*_APIS, *(api for api, is_used in optional if is_used)))
    builder = installation.member("build")
    return [
        apis,
        build,
        receiver,
        worker,
        push,
        *(
            Grant(group=("projects",), name=installation.project, member=builder, role=role)
            for role in _ROLES_OF_THE_BUILD
        ),
        *(Grant.on_resource(each, builder, "roles/iam.serviceAccountUser") for each in (receiver, worker, push)),
        # Projects that used Pub/Sub before April 2021 need it; elsewhere it repeats what Pub/Sub's agent may do.
        Grant.on_resource(
            push,
            installation.member("pubsub"),
            "roles/iam.serviceAccountTokenCreator",
            agent_of="pubsub.googleapis.com",
        ),
    ]
