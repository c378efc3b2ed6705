"""Cross-field rules: each CEL rule of the CRD has a counterpart in Python with the same message.

An API server evaluates CEL, a laptop Python. A manifest that only one of them accepts would fail when it moves to the
other, so the table below must cover every CEL rule. That the API server refuses the same specs is tested
in tests/cluster/test_schema.py, which needs one.
"""

from typing import Any

import pytest
import yaml
from tests.operator.builders import manifest
from tests.operator.schema_walk import nodes

from selfalign_operator.api.run import SelfAlignRun
from selfalign_operator.manifest.loading import load
from selfalign_operator.schemas import crd
from selfalign_stages.contract import rules
from selfalign_stages.contract.task import Problem

HUB = "hf://org/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def training(**values: Any) -> dict[str, Any]:
    return {"stages": {"engraving": values}}


SPECS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    rules.NEEDS_COMMIT: [
        ("spec.baseModel.revision", {"baseModel": {"uri": HUB}}),
        ("spec.baseModel.revision", {"baseModel": {"uri": HUB, "revision": "main"}}),
        ("spec.baseModel.revision", {"baseModel": {"uri": HUB, "revision": COMMIT.upper()}}),
        ("spec.baseModel.revision", {"baseModel": {"uri": HUB, "revision": f"{COMMIT}\n"}}),
    ],
    rules.REVISION_NEEDS_HUB: [
        ("spec.baseModel.revision", {"baseModel": {"uri": "s3://bucket/model", "revision": COMMIT}})
    ],
    rules.SHARES_ABOVE_ONE: [
        (
            "spec.stages.redTeaming.promptSources",
            {"stages": {"redTeaming": {"promptSources": [{"uri": "s3://rows/a.jsonl", "share": 0.6}] * 2}}},
        )
    ],
    rules.ATTEMPTS_NEED_CHANCE: [
        ("spec.stages.selfAlign.attempts", {"stages": {"selfAlign": {"attempts": 3, "temperature": 0}}})
    ],
    rules.ATTEMPTS_OR_SAMPLES: [
        ("spec.stages.selfAlign.attempts", {"stages": {"selfAlign": {"attempts": 3, "samples": 3}}})
    ],
    rules.THOUGHTS_NEED_THOUGHT: [
        (
            "spec.stages.engraving.thoughts",
            {"stages": {"engraving": {"thoughts": True}, "selfAlign": {"thought": "none"}}},
        )
    ],
    rules.EXTRA_SHARES_LEAVE_NOTHING: [
        ("spec.stages.engraving.extraRows", training(extraRows=[{"uri": "s3://rows/a.jsonl", "share": 0.5}] * 2))
    ],
    rules.ONE_PACK_SOURCE: [
        ("spec.principles", {"principles": {}}),
        ("spec.principles", {"principles": {"builtin": "hamlet", "configMapRef": {"name": "mine"}}}),
    ],
    rules.KMS_KEY_NEEDS_KMS: [
        ("spec.artifacts.sseKmsKeyId", {"artifacts": {"uri": "s3://bucket/runs", "sseKmsKeyId": "key"}}),
        (
            "spec.artifacts.sseKmsKeyId",
            {"artifacts": {"uri": "s3://bucket/runs", "sse": "AES256", "sseKmsKeyId": "key"}},
        ),
    ],
    rules.BATCH_NOT_DIVISIBLE: [
        ("spec.stages.engraving.globalBatchSize", training(globalBatchSize=100, microBatchSize=8)),
        ("spec.stages.engraving.globalBatchSize", training(globalBatchSize=96, microBatchSize=8, gpusPerNode=5)),
    ],
    rules.LORA_FIELDS_NEED_LORA: [
        (f"spec.stages.engraving.{name}", training(method="full", **{name: value}))
        for name, value in {"rank": 8, "alpha": 8, "dropout": 0.1, "targets": ["q_proj"]}.items()
    ],
    rules.QUANTIZATION_NEEDS_16_BITS: [
        ("spec.engine.quantization", {"engine": {"quantization": "fp8_per_tensor", "dtype": "float32"}})
    ],
    rules.A_TOKEN_FOR_EACH_SEQUENCE: [
        (
            "spec.engine.arguments.maxBatchedTokens",
            {"engine": {"maxSequences": 512, "arguments": {"maxBatchedTokens": 511}}},
        )
    ],
    rules.SERVER_NEEDS_BASE: [("spec.image.formats", {"image": {"formats": ["server"]}})],
    rules.PROMOTE_TO_EQUALS_TAG: [("spec.image.promoteTo", {"image": {"tag": "stable", "promoteTo": "stable"}})],
    rules.CLONED_NEEDS_CLONING: [
        ("spec.image.variant", {"image": {"variant": "cloned"}, "stages": {"cloning": {"enabled": False}}})
    ],
}
"""Bad specs, with the field that Python reports, by the message of the rule that they break."""
TRANSITIONS = {rules.EDIT_REJECTED}
"""Rules on an update. They compare two objects, of which a manifest on a laptop is only one."""


def cel_rules() -> dict[str, str]:
    """Expressions by message, of all CEL rules in the generated CRD."""
    schema = crd.definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {
        rule["message"]: rule["rule"] for _, node in nodes(schema) for rule in node.get("x-kubernetes-validations", ())
    }


def test_every_cel_rule_has_a_counterpart_in_python() -> None:
    assert cel_rules().keys() == SPECS.keys() | TRANSITIONS


@pytest.mark.parametrize(
    ("message", "field", "spec"),
    [(message, field, spec) for message, cases in SPECS.items() for field, spec in cases],
)
def test_python_refuses_what_a_cel_rule_is_about_with_the_same_message(
    message: str, field: str, spec: dict[str, Any]
) -> None:
    problems = load(yaml.safe_dump(manifest(**spec)))
    assert not isinstance(problems, SelfAlignRun)
    assert [problem.field for problem in problems] == [field]
    assert message in problems[0].message


@pytest.mark.parametrize(
    "spec",
    [
        {"baseModel": {"uri": HUB, "revision": COMMIT}},
        {"artifacts": {"uri": "s3://bucket/runs", "sse": "aws:kms", "sseKmsKeyId": "key"}},
        training(globalBatchSize=96, microBatchSize=8, nodes=3, gpusPerNode=4),
        training(method="lora", rank=8, alpha=8, dropout=0.1, targets=["q_proj"]),
        # the two remedies of thoughts without any, and no word about selfAlign at all
        *(
            {"stages": {"engraving": {"thoughts": True}, "selfAlign": {"thought": thought}}}
            for thought in ("free", "constrained")
        ),
        {"stages": {"engraving": {"thoughts": False}, "selfAlign": {"thought": "none"}}},
        training(thoughts=True),
        {"engine": {"quantization": "mxfp8", "dtype": "float16"}},
        {"engine": {"maxSequences": 512, "arguments": {"maxBatchedTokens": 512}}},
        {"image": {"formats": ["server"], "base": "registry.example/server:1", "promoteTo": "stable"}},
        {"image": {"variant": "engraved"}, "stages": {"cloning": {"enabled": False}}},
    ],
)
def test_what_obeys_the_rules_is_accepted(spec: dict[str, Any]) -> None:
    assert isinstance(load(yaml.safe_dump(manifest(**spec))), SelfAlignRun)


def test_cel_expressions_have_the_constants_of_the_python_checks() -> None:
    expressions = cel_rules()
    assert f"matches('{rules.COMMIT_PATTERN}')" in expressions[rules.NEEDS_COMMIT]
    assert all(f"has(self.{name})" in expressions[rules.LORA_FIELDS_NEED_LORA] for name in rules.LORA_FIELDS)
    assert f"<= {rules.SHARES_LIMIT}" in expressions[rules.SHARES_ABOVE_ONE]
    assert f"<= {rules.EXTRA_SHARES_LIMIT}" in expressions[rules.EXTRA_SHARES_LEAVE_NOTHING]
    assert f"'{rules.KMS_ENCRYPTION}'" in expressions[rules.KMS_KEY_NEEDS_KMS]


def test_messages_fit_an_api_server() -> None:
    """It refuses messages with line breaks, and rules whose message is empty say "failed rule" and the expression."""
    assert all(message and "\n" not in message for message in cel_rules())


def test_a_problem_reads_as_one_sentence_after_its_field() -> None:
    (problem,) = load(yaml.safe_dump(manifest(baseModel={"uri": HUB, "revision": "main"})))
    assert isinstance(problem, Problem)
    assert problem.line.startswith('spec.baseModel.revision = "main": hf:// needs revision, the 40 hexadecimal digits')


@pytest.mark.parametrize(
    ("size", "micro", "processes", "remainder"), [(768, 16, 48, 0), (768, 16, 96, 768), (100, 8, 1, 4), (8, 8, 1, 0)]
)
def test_batch_remainder_is_zero_where_accumulation_is_whole(
    size: int, micro: int, processes: int, remainder: int
) -> None:
    assert rules.batch_remainder(size, micro_batch_size=micro, processes=processes) == remainder
