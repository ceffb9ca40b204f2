"""What can go wrong in a deployment, each as one line that a person can act on."""


class DeployError(Exception):
    """Base of all errors of the deployment: exit status 1."""


class NotYet(DeployError):
    """Google refused a command, perhaps because it does not know yet what was made just before."""


class WrongUse(DeployError):
    """A setting or an argument is missing or wrong: exit status 2."""
