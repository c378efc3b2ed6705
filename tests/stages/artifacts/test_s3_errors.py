"""What a server or the client says becomes an error of the contract with words and a remedy of its own."""

import ssl
from collections.abc import Mapping
from typing import Any

import pytest
from botocore import exceptions as of_boto
from botocore.parsers import ResponseParserError
from tests import faults, s3_server
from tests.stages.artifacts.conftest import Through

from selfalign_stages.artifacts import s3_errors
from selfalign_stages.artifacts.open_store import open_store
from selfalign_stages.contract.exits import AccessDenied, BadInput, DoesNotFit, StageError, Unavailable
from selfalign_stages.contract.task import StoreLocation


def answered(
    status: int, code: str, message: str = "", *, headers: Mapping[str, str] | None = None, **details: str
) -> Exception:
    """The error that a step gets for an error answer."""
    response: Any = {
        "Error": {"Code": code, "Message": message, **details},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": dict(headers or {})},
    }
    error = of_boto.ClientError(response, "GetObject")
    return s3_errors.translate(error, bucket="b", key="p/k", endpoint="http://store")


ANSWERS: list[tuple[int, str, str, type[StageError], str]] = [
    # status, code, the server's message, type, words of ours
    (403, "AccessDenied", "Access Denied", AccessDenied, "spec.artifacts.secretRef and their permissions"),
    (403, "InvalidAccessKeyId", "no such key", AccessDenied, "AWS_ACCESS_KEY_ID in spec.artifacts.secretRef"),
    (403, "SignatureDoesNotMatch", "", AccessDenied, "AWS_SECRET_ACCESS_KEY in spec.artifacts.secretRef"),
    (403, "403", "Forbidden", AccessDenied, "spec.artifacts.secretRef"),
    (401, "Unauthorized", "", AccessDenied, "spec.artifacts.secretRef"),
    (400, "ExpiredToken", "The token has expired", Unavailable, "renew the Secret"),
    (403, "ExpiredTokenException", "", Unavailable, "renew the Secret"),
    (400, "TokenRefreshRequired", "", Unavailable, "renew the Secret"),
    (403, "InvalidToken", "The security token included in the request has expired", Unavailable, "renew the Secret"),
    (401, "Unauthorized", "token_expired", Unavailable, "renew the Secret"),
    (403, "RequestTimeTooSkewed", "The difference is too large", Unavailable, "NTP"),
    (403, "QuotaExceeded", "", DoesNotFit, "raise its quota"),
    (400, "XMinioAdminBucketQuotaExceeded", "", DoesNotFit, "raise its quota"),
    (507, "XMinioStorageFull", "", DoesNotFit, "free space"),
    (507, "507", "", DoesNotFit, "free space"),
    (403, "AccessDenied", "Cannot upload files, storage cap exceeded", DoesNotFit, "free space"),
    (500, "InternalError", "write: no space left on device", DoesNotFit, "free space"),
    (400, "KMS.DisabledException", "key is disabled", BadInput, "spec.artifacts.sseKmsKeyId"),
    (400, "KMS.NotFoundException", "no such key", BadInput, "spec.artifacts.sseKmsKeyId"),
    (400, "KMS.ThrottlingException", "slow down", Unavailable, "throttles"),
    (403, "AccessDenied", "not authorized to perform: kms:GenerateDataKey", AccessDenied, "spec.artifacts.sseKmsKeyId"),
    (503, "SlowDown", "", Unavailable, "throttles"),
    (429, "TooManyRequests", "", Unavailable, "throttles"),
    (429, "429", "", Unavailable, "throttles"),
    (400, "ThrottlingException", "", Unavailable, "throttles"),
    (400, "RequestTimeout", "", Unavailable, "when the server answers"),
    (301, "PermanentRedirect", "", BadInput, "spec.artifacts.region and spec.artifacts.endpoint"),
    (307, "TemporaryRedirect", "", BadInput, "spec.artifacts.region"),
    (302, "302", "Found", BadInput, "spec.artifacts.endpoint"),
    (400, "AuthorizationHeaderMalformed", "", BadInput, "spec.artifacts.region"),
    (400, "IllegalLocationConstraintException", "", BadInput, "spec.artifacts.region"),
    (400, "InvalidBucketName", "", BadInput, "spec.artifacts.uri"),
    (404, "NoSuchBucket", "", BadInput, "spec.artifacts.uri: there is no bucket 'b'"),
    (404, "NoSuchUpload", "", Unavailable, "dropped the upload"),
    (405, "MethodNotAllowed", "", BadInput, "spec.artifacts.endpoint lacks"),
    (501, "NotImplemented", "", BadInput, "spec.artifacts.endpoint lacks"),
    (413, "EntityTooLarge", "", BadInput, "raise its limit"),
    (413, "413", "Request Entity Too Large", BadInput, "raise its limit"),
    (400, "BadDigest", "", Unavailable, "not what was sent"),
    (400, "XAmzContentSHA256Mismatch", "", Unavailable, "not what was sent"),
    (400, "IncompleteBody", "", Unavailable, "not what was sent"),
    (409, "OperationAborted", "", Unavailable, "other writes on the same key"),
    (407, "407", "Proxy Authentication Required", AccessDenied, "HTTPS_PROXY"),
    (400, "SomethingNew", "no dots please", BadInput, "SomethingNew: no dots please"),
    (500, "InternalError", "", Unavailable, "when the server answers"),
    (502, "502", "Bad Gateway", Unavailable, "when the server answers"),
    (530, "", "", Unavailable, "530"),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "words"), ANSWERS)
def test_an_error_answer_has_its_own_words_and_remedy(
    status: int, code: str, message: str, kind: type[StageError], words: str
) -> None:
    error = answered(status, code, message)
    assert type(error) is kind
    assert words in str(error)
    assert "'b'" in str(error) or "s3://b/p/k at http://store" in str(error)
    assert message in str(error)


@pytest.mark.parametrize("code", ["NoSuchKey", "404"])
def test_a_missing_object_is_a_missing_file_with_its_place(code: str) -> None:
    error = answered(404, code)
    assert isinstance(error, FileNotFoundError)
    assert "s3://b/p/k at http://store" in str(error)


def test_the_region_that_the_server_states_is_named() -> None:
    by_header = answered(301, "PermanentRedirect", headers={"x-amz-bucket-region": "eu-central-1"})
    by_element = answered(400, "AuthorizationHeaderMalformed", Region="eu-west-3")
    by_address = answered(307, "307", headers={"location": "https://elsewhere/"})
    assert "the bucket's region is 'eu-central-1'" in str(by_header)
    assert "the bucket's region is 'eu-west-3'" in str(by_element)
    assert "points to https://elsewhere/" in str(by_address)


@pytest.mark.parametrize(("status", "kind"), [(403, BadInput), (404, BadInput), (502, Unavailable)])
def test_a_web_page_is_no_answer_of_s3(status: int, kind: type[StageError]) -> None:
    error = answered(status, str(status), headers={"content-type": "text/html; charset=utf-8"})
    assert type(error) is kind
    assert "web page" in str(error)


def tls(reason: str) -> Exception:
    return of_boto.SSLError(endpoint_url="u", error=ssl.SSLError(reason))


RAISED: list[tuple[Exception, type[StageError], str]] = [
    (of_boto.NoCredentialsError(), AccessDenied, "name a Secret"),
    (of_boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), AccessDenied, "name a Secret"),
    (of_boto.CredentialRetrievalError(provider="process", error_msg="exit 1"), AccessDenied, "exit 1"),
    (of_boto.NoRegionError(), BadInput, "spec.artifacts.region"),
    (of_boto.InvalidRegionError(region_name="a b"), BadInput, "spec.artifacts.region"),
    (of_boto.ProfileNotFound(profile="x"), BadInput, "profile (x)"),
    (of_boto.ParamValidationError(report="Invalid bucket name"), BadInput, "spec.artifacts.uri"),
    (of_boto.EndpointConnectionError(endpoint_url="http://store"), Unavailable, "endpoint and the network"),
    (of_boto.ConnectTimeoutError(endpoint_url="http://store"), Unavailable, "endpoint and the network"),
    (of_boto.ReadTimeoutError(endpoint_url="http://store"), Unavailable, "endpoint and the network"),
    (of_boto.ConnectionClosedError(endpoint_url="http://store"), Unavailable, "endpoint and the network"),
    (of_boto.ResponseStreamingError(error="cut"), Unavailable, "endpoint and the network"),
    (of_boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), Unavailable, "endpoint and the network"),
    (of_boto.ProxyConnectionError(proxy_url="http://proxy"), Unavailable, "HTTPS_PROXY"),
    (tls("[SSL: CERTIFICATE_VERIFY_FAILED]"), BadInput, "spec.artifacts.caFile"),
    (tls("[SSL: WRONG_VERSION_NUMBER]"), BadInput, "http://"),
    (tls("UNEXPECTED_EOF_WHILE_READING"), Unavailable, "network"),
    (of_boto.FlexibleChecksumError(error_msg="crc32"), Unavailable, "arrived damaged"),
    (ResponseParserError("not XML"), BadInput, "web page"),
    (of_boto.InvalidMaxRetryAttemptsError(provided_max_attempts=-1, min_value=0), BadInput, "AWS_* variable"),
]


@pytest.mark.parametrize(("raised", "kind", "words"), RAISED)
def test_an_error_of_the_client_has_its_own_words_and_remedy(
    raised: Exception, kind: type[StageError], words: str
) -> None:
    with pytest.raises(StageError) as mapped, s3_errors.mapped(bucket="b", key="p/k", endpoint="http://store"):
        raise raised
    assert type(mapped.value) is kind
    assert words in str(mapped.value)
    assert "s3://b/p/k at http://store" in str(mapped.value)


def test_answers_of_a_real_server_and_of_proxies_before_it_are_mapped(through: Through) -> None:
    html = {"Content-Type": "text/html"}
    answers: list[tuple[faults.Fault, type[Exception], str]] = [
        (faults.Answer(403, b"<html>blocked</html>", html), BadInput, "web page"),
        (faults.Answer(302, b"", {"Location": "https://login/"}), BadInput, "points to https://login/"),
        (faults.Answer(418, b"not XML at all"), BadInput, "418"),
        (faults.s3_error(400, "AuthorizationHeaderMalformed", details={"Region": "mars-1"}), BadInput, "mars-1"),
        (faults.s3_error(403, "QuotaExceeded"), DoesNotFit, "quota"),
        (faults.s3_error(503, "SlowDown"), Unavailable, "throttles"),
        (faults.Answer(200, b"<html><body>Log in<br></body></html>", html), StageError, "web page"),
        (faults.Answer(200, b"<html><body>Log in</body></html>", html), BadInput, "web page"),
    ]
    current: list[faults.Fault] = []
    store, _ = through(lambda method, path, number, headers: current[0])
    for fault, kind, words in answers:
        current[:] = [fault]
        for use in (
            lambda: store.open("k"),
            lambda: store.put("k", b""),
            lambda: store.replace("k", b""),
            lambda: list(store.list("")),
        ):
            with pytest.raises(kind, match=words):
                use()


def test_a_bucket_in_another_region_is_reached_where_the_server_states_it(
    s3_location: StoreLocation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with s3_server.serve(tmp_path_factory.mktemp("mars") / "root", options=("--region", "mars-1")) as mars:
        mars.make_bucket("tests", region="mars-1")
        assert open_store(s3_location.model_copy(update={"endpoint": mars.endpoint})).put("a", b"")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"endpoint": "store:9000"}, "spec.artifacts.endpoint 'store:9000'"),
        ({"endpoint": "http://["}, "spec.artifacts.endpoint"),
        ({"endpoint": "http://a b"}, "spec.artifacts.endpoint"),
        ({"endpoint": "http://store:99999"}, "spec.artifacts.endpoint"),
        ({"region": "a b"}, "spec.artifacts.region"),
        ({"ca_file": "/no/such.pem"}, "spec.artifacts.caFile '/no/such.pem'"),
        ({"uri": "s3://no bucket/x"}, "spec.artifacts.uri"),
        ({"uri": "s3:///x"}, "spec.artifacts.uri"),
    ],
)
def test_a_field_that_cannot_be_right_is_named(s3_location: StoreLocation, changed: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=r"spec\.artifacts") as refused:
        open_store(s3_location.model_copy(update=changed)).put("a", b"")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_PROFILE", "nobody"), ("AWS_RETRY_MODE", "forever"), ("AWS_MAX_ATTEMPTS", "many")]
)
def test_a_variable_that_cannot_be_right_is_named_or_not_used(
    s3_location: StoreLocation, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    try:
        assert open_store(s3_location).put("a", b"")
    except BadInput as refused:
        assert value in str(refused) or name.lower() in str(refused).lower()
