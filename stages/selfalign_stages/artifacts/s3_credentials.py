"""Provides S3 credentials that may be renewed while a step runs.

A mounted Secret is read anew for every request. boto3 reads keys once per client; those of a session that expires after
an hour would end every longer step, though the Secret has been renewed meanwhile. Where nothing is mounted, boto3's own
chain finds variables of the environment or the pod's workload identity, and renews the latter itself.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

# Imported at once, unlike elsewhere, for the base classes: only s3:// stores import this module.
from botocore.credentials import CredentialProvider, Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError, NoCredentialsError, PartialCredentialsError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
READS = 3
"""Attempts to read files of one and the same state of the Secret, which the kubelet may replace in between."""


def read(folder: Path) -> dict[str, str]:
    """Reads the S3 credentials of a mounted Secret; empty if it has no access key.

    Args:
        folder: where the Secret is mounted, one file per key.

    Raises:
        CredentialRetrievalError: a file exists but cannot be read.
    """
    for _ in range(READS):
        try:
            # The kubelet keeps the files of one state in a folder of their own and switches a link. Following it once
            # keeps an old key from being paired with a new secret.
            first = (folder / KEY).resolve(strict=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise CredentialRetrievalError(provider=str(folder), error_msg=f"{KEY}: {error.strerror}") from None
        found = {}
        try:
            for name in (KEY, SECRET, TOKEN):
                path = first.parent / name
                # Only the token is optional; a missing secret is reported by its name later.
                if path.exists():
                    found[name] = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            # Not the error's own text: that of a decoding error contains the secret.
            raise CredentialRetrievalError(
                provider=str(folder), error_msg=f"{name} cannot be read ({type(error).__name__})"
            ) from None
        if first.exists():
            return found if found.get(KEY) else {}
    return {}


class MountedCredentials(Credentials):
    """Credentials whose every signature uses what the Secret holds at that moment.

    Args:
        folder: where the Secret is mounted.
    """

    def __init__(self, folder: Path) -> None:
        # The attributes of the base class are read by nothing that signs requests.
        super().__init__("", "", method="selfalign-mounted")
        self._folder = folder
        self._used = threading.local()

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Reads the Secret; botocore calls this for every signature."""
        found = read(self._folder)
        if not found:
            raise NoCredentialsError
        if not found.get(SECRET):
            raise PartialCredentialsError(provider=str(self._folder), cred_var=SECRET)
        self._used.key = found[KEY], found[SECRET], found.get(TOKEN) or None
        return ReadOnlyCredentials(*self._used.key)

    def renewed(self) -> bool:
        """Whether the Secret has changed since this thread last signed a request."""
        found = read(self._folder)
        current = found.get(KEY), found.get(SECRET), found.get(TOKEN) or None
        return bool(found) and current != getattr(self._used, "key", None)

    def register(self, client: "S3Client") -> None:
        """Makes a client send a refused request again if the Secret was renewed after it had been signed."""

        def decide(*, response: tuple[Any, dict[str, Any]] | None = None, **_: Any) -> float | None:
            # Expired tokens are answered with 400, unknown keys with 403; HEAD requests have no other hint than that.
            status = response[1].get("ResponseMetadata", {}).get("HTTPStatusCode") if response else None
            return 0 if status in (400, 401, 403) and self.renewed() else None

        client.meta.events.register("needs-retry.s3", cast(Any, decide), unique_id="selfalign-renewed-credentials")


class MountedProvider(CredentialProvider):
    """Makes mounted credentials part of boto3's chain of credential providers.

    Args:
        credentials: what the chain finds here.
    """

    METHOD = CANONICAL_NAME = "selfalign-mounted"

    def __init__(self, credentials: MountedCredentials) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> MountedCredentials:
        """Returns the credentials; botocore calls this once per session."""
        return self._credentials
