"""Explains why the operator itself cannot reconcile a run: missing rights, and webhooks or servers that fail.

A reconcile that fails is retried, but a run without a status explains nothing to its user. Whatever the API server
answers for good, or for as long as a webhook is down, therefore becomes part of the status. Lost connections, conflicts
and throttling do not: a retry mends them within seconds, and a status could not be written then either.

Access to the API server: none; `reconcile` writes the status.
"""

import re

from selfalign_operator.cluster.client import ApiError
from selfalign_stages.contract.task import Failure

REJECTION_CODES = (400, 403, 422)
"""Responses that a retry does not change: Bad Request, Forbidden (RBAC, admission, quota), Unprocessable Entity."""
PASSING_CODES = (429, 503)
"""Responses of a busy or starting API server, which a retry mends."""
NO_RIGHT, WEBHOOK, SERVER_ERROR, REFUSED = "MissingRights", "WebhookUnavailable", "ApiServerError", "RequestRefused"
JOB_REFUSED = "JobRefused"
BY_RBAC = re.compile(r'User "[^"]*" cannot |cannot set blockOwnerDeletion')
"""Part of every refusal for lack of a right: User "..." cannot list resource "pods" in API group "". The second one is
that of the admission plugin OwnerReferencesPermissionEnforcement, which OpenShift has."""


def is_refusal(error: ApiError) -> bool:
    """Returns whether the API server answered, and an immediate retry would get the same answer."""
    return error.code in REJECTION_CODES or (error.code >= 500 and error.code not in PASSING_CODES)


def lacks_right(error: ApiError) -> bool:
    """Returns whether the operator's own Role is the reason of a refusal, and not what was asked for."""
    return error.code == 403 and BY_RBAC.search(str(error)) is not None


def explain(error: ApiError, *, doing: str) -> Failure:
    """Words a refusal for a condition.

    Args:
        error: the refusal.
        doing: what the operator tried, such as "create the Job of import".
    """
    text = f"the operator cannot {doing}: {error}"
    if lacks_right(error):
        remedy = (
            "give its service account the Role of the chart again (helm upgrade), or remove what revokes it: "
            "kubectl auth can-i --list --as=system:serviceaccount:NAMESPACE:NAME"
        )
        return Failure(reason=NO_RIGHT, message=f"{text}; {remedy}")
    if error.code >= 500 and "webhook" in str(error):
        remedy = "start the service of that webhook, or delete its webhook configuration"
        return Failure(reason=WEBHOOK, message=f"{text}; {remedy}")
    if error.code >= 500:
        return Failure(reason=SERVER_ERROR, message=f"{text}; read the log of the API server")
    return Failure(reason=REFUSED, message=text)


def explain_job(error: ApiError, *, id_: str, verb: str) -> Failure:
    """Words the refusal of a Job's creation or deletion for a condition.

    Args:
        error: the refusal.
        id_: the step's id, or "preflight".
        verb: "create" or "delete".
    """
    failure = explain(error, doing=f"{verb} the Job of {id_}")
    if failure.reason != REFUSED or verb != "create":
        return failure
    return Failure(reason=JOB_REFUSED, message=f"{id_}: the API server refuses its Job: {error}")
