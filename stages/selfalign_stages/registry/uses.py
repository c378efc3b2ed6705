"""What a registry is used for, which decides about the words of its errors.

The same refusal has other causes and remedies when an image is pushed, when a base is pulled, and when somebody checks
an image by hand. Each message names the field that is really concerned.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """One use of a registry.

    Attributes:
        place: what to check if the registry cannot be reached.
        denied: remedy if it denies access; {host} stands for the registry.
        limited: remedy if it limits requests of anonymous users.
    """

    place: str
    denied: str
    limited: str


PUSH = Use(
    place="check spec.image.repository, and spec.image.plainHttp for a registry without TLS",
    denied="give spec.image.pushSecretRef a Secret of type kubernetes.io/dockerconfigjson that may push there "
    "(on one machine: docker login {host})",
    limited="give spec.image.pushSecretRef a Secret with an account (on one machine: docker login {host})",
)
BASE = Use(
    place="check spec.image.base; spec.image.plainHttp applies to it if spec.image.repository is in the same registry",
    denied="spec.image.base is misspelt, or private; for a private image, add an account that may pull it to the "
    "Secret of spec.image.pushSecretRef (on one machine: docker login {host})",
    limited="add an account of {host} to the Secret of spec.image.pushSecretRef (on one machine: docker login {host}), "
    "or let spec.image.base name a copy in a registry of your own",
)
VERIFY = Use(
    place="check the image's reference, and --plain-http for a registry without TLS",
    denied="the image is misspelt, or private; for a private image, docker login {host} with an account that may "
    "pull it",
    limited="docker login {host}",
)
