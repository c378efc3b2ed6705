"""Makes the S3 client of a store, for AWS and for servers with the same API."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from selfalign_stages.artifacts import s3_retries
from selfalign_stages.contract.exits import BadInput
from selfalign_stages.contract.task import StoreLocation

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 60
"""Seconds. A lost SYN is repeated after one and three seconds. Servers that put the parts of a large upload together
may be silent for long; reads of a stalled server end in a retry instead of blocking a GPU pod."""
CONNECTIONS = 40
"""Above the 16 threads that transfer small files, and the parts of 4 large ones: a smaller pool would close and reopen
connections. They are opened as needed."""
SESSION_ARGUMENTS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def connect(
    location: StoreLocation, *, credentials: Mapping[str, Any], mounted: Path | None
) -> "tuple[S3Client, str | None]":
    """Makes a client. It sends nothing yet.

    Args:
        location: endpoint, region, addressing style and certificate authorities of the store.
        credentials: fixed ones, as keyword arguments of boto3's Session such as aws_access_key_id. Empty: boto3's own
            chain, which reads environment variables and the pod's workload identity.
        mounted: folder where a Secret may be mounted; if it has an access key, it comes before the other two.

    Returns:
        The client, and the URL of the server; None: AWS.

    Raises:
        BadInput: the endpoint is no URL, or spec.artifacts.caFile does not exist.
        BotoCoreError: a setting of the environment is wrong.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, PartialCredentialsError
    from botocore.session import Session

    from selfalign_stages.artifacts.s3_credentials import MountedCredentials, MountedProvider, read

    if location.ca_file and not Path(location.ca_file).is_file():
        raise BadInput(f"spec.artifacts.caFile {location.ca_file!r}: no such file; mount it, or correct the path")
    own, renewed = Session(), None
    own.register_component("data_loader", _descriptions())
    if mounted is not None and read(mounted):
        renewed = MountedCredentials(mounted)
        own.get_component("credential_provider").providers.insert(0, MountedProvider(renewed))
    elif credentials:
        access, secret, token = (credentials.get(name) for name in SESSION_ARGUMENTS)
        if not access or not secret:
            raise PartialCredentialsError(provider="the environment", cred_var=SESSION_ARGUMENTS[bool(access)].upper())
        own.set_credentials(access, secret, token)
    endpoint = endpoint_of(location, own)
    # Newer boto3 adds CRC checksums to every request by default, which many third-party servers refuse.
    checksums: Literal["when_required", "when_supported"] = "when_required" if endpoint else "when_supported"
    # Variants of AWS's endpoints, which variables and profiles may ask for, cannot be had from another server.
    plain: dict[str, Any] = {"use_dualstack_endpoint": False, "use_fips_endpoint": False} if endpoint else {}
    style: dict[str, Any] = {"addressing_style": location.addressing_style}
    if endpoint:
        style["use_accelerate_endpoint"] = False
    config = Config(
        # One attempt: s3_retries decides about others.
        retries={"mode": "standard", "total_max_attempts": 1},
        s3=cast(Any, style),
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        max_pool_connections=CONNECTIONS,
        **plain,
    )
    try:
        client = boto3.session.Session(botocore_session=own).client(
            "s3",
            endpoint_url=endpoint,
            region_name=_region(location, own, endpoint),
            verify=location.ca_file,
            config=config,
        )
    except ValueError as error:
        if isinstance(error, BotoCoreError):
            raise
        raise BadInput(
            f"spec.artifacts.endpoint {endpoint!r}: {error}; give a URL such as https://HOST:PORT",
            reason="EndpointInvalid",
        ) from error
    client.meta.events.register("before-call.s3.HeadBucket", cast(Any, _ask_for_the_region_once))
    s3_retries.register(client)
    if renewed is not None:
        renewed.register(client)
    return client, endpoint


@cache
def _descriptions() -> "Loader":
    """Botocore's descriptions of the API, read once per process: 0.12 of the 0.16 CPU seconds that a client takes."""
    from botocore.loaders import create_loader

    return create_loader()


def endpoint_of(location: StoreLocation, session: "Session") -> str | None:
    """Finds the URL of a server other than AWS: the store's own, else what boto3 would find itself.

    It is looked up here, because requests to such a server must be made in another way.

    Args:
        location: the store.
        session: gives access to the profile of the shared configuration file.

    Returns:
        The URL; None: AWS.
    """
    if location.endpoint:
        return location.endpoint
    profile = session.get_scoped_config()
    ignored = os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or profile.get("ignore_configured_endpoint_urls")
    if str(ignored).lower() == "true":
        return None
    of_environment = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    found: str | None = of_environment or profile.get("endpoint_url")
    return found


def _region(location: StoreLocation, session: "Session", endpoint: str | None) -> str | None:
    """Chooses the region that signatures contain; None: boto3 asks AWS where the bucket is."""
    if location.region:
        return location.region
    # boto3 itself knows AWS_DEFAULT_REGION only, other SDKs and documents AWS_REGION.
    found = None if location.endpoint else session.get_config_variable("region") or os.environ.get("AWS_REGION")
    # Signatures contain a region even where a server has none; us-east-1 is the one that such servers accept.
    return found or ("us-east-1" if endpoint else None)


def _ask_for_the_region_once(params: dict[str, Any], **_: Any) -> None:
    """Marks a HEAD of the bucket as redirected already.

    botocore asks by such a request where the bucket is, whenever another request is redirected. A server or proxy that
    redirects everything, as to a login page, redirects this one too, and botocore would ask until its stack is full
    (botocore.utils.S3RegionRedirectorv2, 1.44).
    """
    params["context"].setdefault("s3_redirect", {})["redirected"] = True
