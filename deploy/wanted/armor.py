"""Optional: a Cloud Armor policy that bounds how often one address may call the receiver. Rules: ../armor.json."""

import json
from pathlib import Path

from deploy.installation import Installation
from deploy.resources import Item, Resource

_FILE = Path(__file__).parent.parent / "armor.json"


def items(installation: Installation) -> list[Item]:
    """Return the declared items; none where no policy is named."""
    name = installation.armor_policy
    if not name:
        return []
    group = ("compute", "security-policies")
    policy = Resource(
        what=f"Cloud Armor policy {name}",
        api="compute.googleapis.com",
        listed_by=(*group, "list"),
        identity={"name": name},
        settings=json.loads(_FILE.read_text()),
        create=(*group, "create", name, f"--file-name={_FILE}", "--file-format=json"),
        update=(*group, "import", name, f"--file-name={_FILE}", "--file-format=json"),
        delete=(*group, "delete", name),
    )
    return [policy]
