"""What a run waits for of people, and the policy that makes it wait."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from runwire.v1 import run_pb2

PolicyAction = Literal["allow", "deny", "require_approval"]
InputKind = Literal["approval", "question", "unknown"]
AnswerAction = Literal["accept", "decline"]

_POLICY_ACTIONS: dict[PolicyAction, run_pb2.PolicyAction.ValueType] = {
    "allow": run_pb2.POLICY_ACTION_ALLOW,
    "deny": run_pb2.POLICY_ACTION_DENY,
    "require_approval": run_pb2.POLICY_ACTION_REQUIRE_APPROVAL,
}
_POLICY_NAMES = {number: name for name, number in _POLICY_ACTIONS.items()}
_ANSWERS: dict[AnswerAction, run_pb2.InputAnswer.Action.ValueType] = {
    "accept": run_pb2.InputAnswer.ACTION_ACCEPT,
    "decline": run_pb2.InputAnswer.ACTION_DECLINE,
}


@dataclass(frozen=True, kw_only=True)
class PolicyRule:
    """Matches calls, and says what is done with them. All conditions that are given must hold."""

    action: PolicyAction
    #: A pattern of tool names; ``*`` is any run of characters.
    tool: str = ""
    read_only: bool | None = None
    destructive: bool | None = None
    #: Told to the model and the approver.
    reason: str = ""


@dataclass(frozen=True)
class Policy:
    """Which calls of a run may run: the first rule that matches decides. The server may be stricter.

    >>> policy = Policy([PolicyRule(tool="pay*", action="require_approval", reason="it costs money")])
    """

    rules: Sequence[PolicyRule] = ()
    #: When no rule matches.
    default: PolicyAction = "allow"

    def to_proto(self) -> run_pb2.ToolPolicy:
        """Convert to the wire's form."""
        return run_pb2.ToolPolicy(
            rules=[
                run_pb2.PolicyRule(
                    tool_glob=rule.tool,
                    read_only=rule.read_only,
                    destructive=rule.destructive,
                    action=_policy_action(rule.action),
                    reason=rule.reason,
                )
                for rule in self.rules
            ],
            default_action=_policy_action(self.default),
        )


@dataclass(frozen=True)
class RequiredInput:
    """Something that a person must answer before a call goes on: see :meth:`AsyncRuns.answer`."""

    id: str
    run_id: str
    #: May a call run, or a question of a tool.
    kind: InputKind
    #: The call that is to be approved, or that asks.
    call_id: str
    #: Of an approval: the tool, and the arguments that it would get.
    tool: str
    arguments: dict[str, Any] = field(repr=False)
    #: Of a question: what is asked, and the JSON Schema of the answer, if there is one.
    question: str = field(repr=False)
    schema: dict[str, Any] | None = field(repr=False)
    #: Of an approval: why the policy asks for it.
    reason: str
    #: When it is declined by itself.
    expire_time: datetime

    @classmethod
    def from_proto(cls, required: run_pb2.RequiredInput) -> RequiredInput:
        """Convert from the wire."""
        kind = required.WhichOneof("kind")
        return cls(
            id=required.id,
            run_id=required.run_id,
            kind="approval" if kind == "tool_approval" else "question" if kind == "question" else "unknown",
            call_id=required.call_id,
            tool=required.tool_approval.name,
            arguments=json.loads(required.tool_approval.arguments_json or "{}"),
            question=required.question.message,
            schema=json.loads(required.question.schema_json) if required.question.schema_json else None,
            reason=required.reason,
            expire_time=required.expire_time.ToDatetime(tzinfo=timezone.utc),
        )


def to_answer(input_id: str, action: AnswerAction, content: Any, reason: str) -> run_pb2.InputAnswer:
    """Convert an answer to the wire's form.

    Raises:
        ValueError: The action is none.
    """
    if action not in _ANSWERS:
        raise ValueError(f"action: {action!r} is not one of {', '.join(_ANSWERS)}")
    return run_pb2.InputAnswer(
        input_id=input_id,
        action=_ANSWERS[action],
        content_json="" if content is None else json.dumps(content, ensure_ascii=False),
        reason=reason,
    )


def answer_action(number: int) -> AnswerAction:
    """Name what an answer did."""
    return "accept" if number == run_pb2.InputAnswer.ACTION_ACCEPT else "decline"


def policy_action(number: int) -> PolicyAction:
    """Name what a policy decided; a decision that is unknown here is none that lets anything run."""
    return _POLICY_NAMES.get(number, "deny")  # type: ignore[call-overload, no-any-return]  # ints of the enum


def _policy_action(action: PolicyAction) -> run_pb2.PolicyAction.ValueType:
    if action not in _POLICY_ACTIONS:
        raise ValueError(f"action: {action!r} is not one of {', '.join(_POLICY_ACTIONS)}")
    return _POLICY_ACTIONS[action]
