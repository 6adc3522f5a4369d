"""One stack of CloudFormation: made or changed by a change set that is shown first, watched, and taken up again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from botocore.exceptions import ClientError

from scripts.deployment.settings import DeployError
from scripts.local.processes import say

MOST_BYTES = 51_200  # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
CHANGE_SET = "deploy"
NOTHING = ("didn't contain changes", "No updates are to be performed")
POLL_SECONDS, STACK_SECONDS = 3.0, 3600.0


@dataclass(frozen=True)
class Stack:
    """`parameters` that are None keep what they are; those that the template does not have are left out."""

    name: str
    template: dict[str, Any]
    parameters: Mapping[str, str | None]

    @property
    def body(self) -> str:
        """As short as it can be said."""
        return json.dumps(self.template, separators=(",", ":"), ensure_ascii=False, default=str)


def load(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text))


class Stacks:
    """The stacks of one account and region. `pause` is told how many seconds to wait."""

    def __init__(
        self, client: Any, s3: Any, *, dry_run: bool = False, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.bucket = ""  # where templates go that are too long to be said in a call; known once it is made
        self._client = client
        self._s3 = s3
        self._dry_run = dry_run
        self._pause = pause

    def find(self, name: str) -> dict[str, Any] | None:
        """The stack as AWS describes it; None where there is none."""
        try:
            found: dict[str, Any] = self._client.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return found

    def outputs(self, name: str) -> dict[str, str]:
        found = self.find(name) or {}
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}

    def parameters(self, name: str) -> dict[str, str]:
        found = self.find(name) or {}
        return {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}

    def template(self, name: str) -> dict[str, Any]:
        body = self._client.get_template(StackName=name)["TemplateBody"]
        return dict(body) if isinstance(body, dict) else load(body)

    def bring(self, stack: Stack, beside: Callable[[], str] = str) -> bool:
        """Make the stack what it should be. True when something was changed, or would be.

        Whatever an earlier run was killed in is taken up: one that is under way is waited for, a first creation that
        failed is removed and begun again, a change set that was left lying is replaced. Raises DeployError. `beside` is
        asked for a line of progress meanwhile.
        """
        body = stack.body
        status = self._settled(stack.name, beside)
        new = status in (None, "REVIEW_IN_PROGRESS")
        if status is not None and not new and not status.endswith("COMPLETE"):
            raise DeployError(
                f"The stack {stack.name} is {status}: CloudFormation's page says why. Mend that there (continue the "
                "update's rollback, or delete the stack), then start again."
            )
        if new and self._dry_run:
            kinds = ", ".join(sorted(stack.template["Resources"]))
            say(f"  {stack.name}: would be made, with {len(stack.template['Resources'])} resources: {kinds}")
            return True
        changes = self._change_set(stack, body, new=new)
        if changes is None:
            say(f"  {stack.name}: nothing to change.")
            return False
        say(f"  {stack.name}: {len(changes)} changes")
        for change in changes:
            say(f"    {described(change)}")
        if self._dry_run:
            self._client.delete_change_set(StackName=stack.name, ChangeSetName=CHANGE_SET)
            return True
        began = self._newest_event(stack.name)
        self._client.execute_change_set(StackName=stack.name, ChangeSetName=CHANGE_SET)
        ended = self._watched(stack.name, began, beside)
        if ended not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise DeployError(
                f"The stack {stack.name} ended as {ended}; it is as it was before. {self._why(stack.name, began)} Mend "
                "that, and start again."
            )
        return True

    def _settled(self, name: str, beside: Callable[[], str]) -> str | None:
        found = self.find(name)
        status = found["StackStatus"] if found else None
        if status and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            say(f"  {name}: {status}, begun by an earlier run: waiting for its end ...")
            status = self._watched(name, self._newest_event(name), beside)
        if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"):
            if self._dry_run:
                say(f"  {name}: {status}: would be removed and made again")
                return None
            say(f"  {name}: its first creation failed: removing what is left of it ...")
            self._client.delete_stack(StackName=name)
            status = self._watched(name, self._newest_event(name), beside)
        return None if status in (None, "DELETE_COMPLETE") else status

    def _change_set(self, stack: Stack, body: str, *, new: bool) -> list[dict[str, Any]] | None:
        """None when there is nothing to change."""
        if not new or self.find(stack.name):
            self._client.delete_change_set(StackName=stack.name, ChangeSetName=CHANGE_SET)  # also when there is none
        known = stack.template.get("Parameters", {})
        given = {key: value for key, value in stack.parameters.items() if key in known}
        kept = set() if new else self.parameters(stack.name).keys() & known.keys()
        parameters: list[dict[str, Any]] = [
            {"ParameterKey": key, "ParameterValue": value} for key, value in given.items() if value is not None
        ]
        parameters += [
            {"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept) if given.get(key) is None
        ]
        try:
            self._client.create_change_set(
                StackName=stack.name,
                ChangeSetName=CHANGE_SET,
                ChangeSetType="CREATE" if new else "UPDATE",
                **self._told(stack.name, body),
                Parameters=parameters,
                Capabilities=["CAPABILITY_IAM"],
            )
        except ClientError as error:
            raise DeployError(f"CloudFormation does not take {stack.name}: {error}.") from None
        deadline = time.monotonic() + STACK_SECONDS
        while True:
            made = self._client.describe_change_set(StackName=stack.name, ChangeSetName=CHANGE_SET)
            if made["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS") or time.monotonic() > deadline:
                break
            self._pause(POLL_SECONDS)
        reason = made.get("StatusReason") or ""
        if made["Status"] == "CREATE_COMPLETE":
            changes = list(made["Changes"])
            while more := made.get("NextToken"):
                made = self._client.describe_change_set(StackName=stack.name, ChangeSetName=CHANGE_SET, NextToken=more)
                changes += made["Changes"]
            if changes or new:
                return changes
        elif not any(words in reason for words in NOTHING):
            raise DeployError(f"CloudFormation cannot change {stack.name}: {reason or made['Status']}.")
        self._client.delete_change_set(StackName=stack.name, ChangeSetName=CHANGE_SET)
        return None

    def _told(self, name: str, body: str) -> dict[str, str]:
        if len(body.encode()) <= MOST_BYTES:
            return {"TemplateBody": body}
        if not self.bucket:
            raise DeployError(f"The template of {name} is too long for a call, and there is no bucket for it yet.")
        key = f"{name}/{hashlib.sha256(body.encode()).hexdigest()}.json"
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())
        return {
            "TemplateURL": self._s3.generate_presigned_url("get_object", {"Bucket": self.bucket, "Key": key}).split(
                "?"
            )[0]
        }

    def _newest_event(self, name: str) -> str:
        try:
            events = self._client.describe_stack_events(StackName=name)["StackEvents"]
        except ClientError:
            return ""
        return events[0]["EventId"] if events else ""

    def _events_since(self, name: str, event: str) -> list[dict[str, Any]]:
        """Oldest first; none where the stack is gone."""
        try:
            events = self._client.describe_stack_events(StackName=name)["StackEvents"]
        except ClientError:
            return []
        ids = [each["EventId"] for each in events]
        return list(reversed(events[: ids.index(event)] if event in ids else events))

    def _watched(self, name: str, since: str, beside: Callable[[], str]) -> str:
        """Its status once it is settled, with a line for each resource that is done, and for what is waited for."""
        deadline, shown = time.monotonic() + STACK_SECONDS, ""
        while True:
            for event in self._events_since(name, since):
                since = event["EventId"]
                if not event["ResourceStatus"].endswith("IN_PROGRESS"):
                    reason = event.get("ResourceStatusReason") or ""
                    say(f"    {event['LogicalResourceId']}: {event['ResourceStatus']}{': ' if reason else ''}{reason}")
            found = self.find(name)
            if found is None:
                return "DELETE_COMPLETE"
            status: str = found["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                return status
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{name} is {status} after an hour. It goes on by itself; start again to see its end."
                )
            if (line := beside()) and line != shown:
                say(f"    {line}")
                shown = line
            self._pause(POLL_SECONDS)

    def _why(self, name: str, since: str) -> str:
        failed = [event for event in self._events_since(name, since) if event["ResourceStatus"].endswith("FAILED")]
        told = [
            f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', 'no reason given')}." for each in failed
        ]
        return told[0] if told else "CloudFormation's page says why."


def described(change: Mapping[str, Any]) -> str:
    found = change["ResourceChange"]
    anew = " (made anew!)" if found.get("Replacement") == "True" else ""
    return f"{found['Action'].lower():8}{found['LogicalResourceId']}  {found['ResourceType']}{anew}"


def one_index_at_a_time(there: dict[str, Any], wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Templates that lead from one to the other: DynamoDB makes or drops one index of a table in an update.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
    The last is `wanted` itself. New indexes come first, so that nothing that reads one goes without.
    """
    steps: list[dict[str, Any]] = []
    current = json.loads(json.dumps(there, default=str))
    while True:
        nearer, left = json.loads(json.dumps(wanted, default=str)), False
        for name, resource in nearer["Resources"].items():
            before = current["Resources"].get(name)
            if before is None:
                continue
            old, new = indexes(before), indexes(resource)
            changes = [each for each in new if each not in old] + [each for each in old if each not in new]
            if len(changes) > 1:
                left = True
                kept = dict(old)
                if changes[0] in new:
                    kept[changes[0]] = new[changes[0]]
                else:
                    del kept[changes[0]]
                put_indexes(resource, before, kept)
        steps.append(nearer)
        if not left:
            return steps
        current = nearer


def indexes(table: Mapping[str, Any]) -> dict[str, Any]:
    return {each["IndexName"]: each for each in table["Properties"].get("GlobalSecondaryIndexes", [])}


def put_indexes(table: dict[str, Any], before: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """With the attributes that their keys need: CloudFormation refuses one too many."""
    properties = table["Properties"]
    known = {
        each["AttributeName"]: each
        for each in [*before["Properties"]["AttributeDefinitions"], *properties["AttributeDefinitions"]]
    }
    keys = [key["AttributeName"] for key in properties["KeySchema"]]
    keys += [key["AttributeName"] for index in kept.values() for key in index["KeySchema"]]
    properties["GlobalSecondaryIndexes"] = list(kept.values())
    properties["AttributeDefinitions"] = [known[key] for key in dict.fromkeys(keys)]
    if not kept:
        del properties["GlobalSecondaryIndexes"]
