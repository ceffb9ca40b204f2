"""Everything that must exist beside the two services, one module for each group, in the order in which it is made."""

from collections.abc import Callable, Mapping, Sequence

from deploy.installation import Installation
from deploy.resources import Item
from deploy.wanted import access, archive, armor, images, pubsub, secrets, store, watch, watchdog

Group = Callable[[Installation], Sequence[Item]]

GROUPS: Mapping[str, Group] = {
    "access": access.items,
    "images": images.items,
    "secrets": secrets.items,
    "store": store.items,
    "pubsub": pubsub.items,
    "archive": archive.items,
    "watch": watch.items,
    "watchdog": watchdog.items,
    "armor": armor.items,
}
# Speaks of what the groups above make, under names that Google gives them.
AFTERWARDS: Group = watch.policies
