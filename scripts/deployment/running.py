"""What runs: the services' deployments, one-off commands of the app, alarms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from scripts.deployment.settings import DeployError
from scripts.local.processes import say

COMMAND_SECONDS, POLL_SECONDS = 900.0, 3.0
FLASK = ["python", "-m", "flask", "--app", "app.wsgi"]


class Running:
    """The service stack as ECS, CloudWatch and its log have it. `outputs` are those of the stack."""

    def __init__(
        self,
        ecs: Any,
        logs: Any,
        cloudwatch: Any,
        outputs: Mapping[str, str],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ecs, self._logs, self._cloudwatch = ecs, logs, cloudwatch
        self._outputs = outputs
        self._pause = pause

    def progress(self) -> str:
        """One line about each service whose release is not over."""
        arns = self._ecs.list_services(cluster=self._outputs["Cluster"])["serviceArns"]
        if not arns:
            return ""
        told = []
        for service in self._ecs.describe_services(cluster=self._outputs["Cluster"], services=arns)["services"]:
            for each in service["deployments"]:
                if each["status"] == "PRIMARY" and each.get("rolloutState", "COMPLETED") != "COMPLETED":
                    failed = f", {each['failedTasks']} failed" if each.get("failedTasks") else ""
                    name = service["serviceName"].rpartition("-")[0] or service["serviceName"]
                    told.append(f"{name}: {each['runningCount']} of {each['desiredCount']} new ones run{failed}")
        return "; ".join(sorted(told))

    def command(
        self, arguments: list[str], image: str = "", environment: Mapping[str, str] | None = None
    ) -> tuple[int, list[str]]:
        """Run a command of the app in a task, in another image or with other settings where they are named.

        Returns its exit status and what it printed. Raises DeployError when the task did not get as far.
        """
        task_definition = self._with_image(image) if image else self._outputs["CommandTask"]
        override: dict[str, Any] = {"name": "command", "command": [*FLASK, *arguments]}
        override["environment"] = [{"name": name, "value": value} for name, value in (environment or {}).items()]
        started = self._ecs.run_task(
            cluster=self._outputs["Cluster"],
            taskDefinition=task_definition,
            launchType="FARGATE",
            overrides={"containerOverrides": [override]},
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": self._outputs["TaskSubnets"].split(","),
                    "securityGroups": [self._outputs["TaskGroup"]],
                    "assignPublicIp": self._outputs["TaskPublicIp"],
                }
            },
        )
        if not started["tasks"]:
            raise DeployError(f"ECS starts no task: {[each.get('reason') for each in started['failures']]}. Try again.")
        arn = started["tasks"][0]["taskArn"]
        deadline = time.monotonic() + COMMAND_SECONDS
        while True:
            (task,) = self._ecs.describe_tasks(cluster=self._outputs["Cluster"], tasks=[arn])["tasks"]
            if task["lastStatus"] == "STOPPED":
                break
            if time.monotonic() > deadline:
                raise DeployError(
                    f"flask {' '.join(arguments)} runs for {COMMAND_SECONDS / 60:.0f} minutes: look at task {arn}."
                )
            self._pause(POLL_SECONDS)
        status = task["containers"][0].get("exitCode")
        if status is None:
            raise DeployError(
                f"flask {' '.join(arguments)} did not start: {task.get('stoppedReason', 'no reason given')}. "
                "An image of the wrong architecture, a secret without a key, or no way to the registry end like this."
            )
        return status, self._printed(arn.rpartition("/")[2])

    def _with_image(self, image: str) -> str:
        """The task of the commands as it is, with another image; the stack's own is not touched."""
        there = self._ecs.describe_task_definition(taskDefinition=self._outputs["CommandTask"])["taskDefinition"]
        (container,) = there["containerDefinitions"]
        kept = (
            "requiresCompatibilities",
            "networkMode",
            "cpu",
            "memory",
            "executionRoleArn",
            "taskRoleArn",
            "runtimePlatform",
        )
        made = self._ecs.register_task_definition(
            family=f"{there['family']}-next",
            containerDefinitions=[{**container, "image": image}],
            **{name: there[name] for name in kept if there.get(name)},
        )
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def _printed(self, task: str) -> list[str]:
        """All of it: a page of this answer may hold few lines or none, and more to come."""
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=self._outputs["Logs"], logStreamNames=[f"dashboard/command/{task}"]
        )
        return [event["message"].rstrip() for page in pages for event in page["events"]]

    def ringing(self, prefix: str) -> set[str]:
        pages = self._cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix, StateValue="ALARM")
        return {alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]}

    def watch_alarms(self, prefix: str, before: set[str], seconds: float) -> set[str]:
        """What begins to ring in this time. Ends with the first."""
        deadline = time.monotonic() + seconds
        while not (new := self.ringing(prefix) - before) and time.monotonic() < deadline:
            self._pause(15.0)
        for name in sorted(new):
            say(f"  rings: {name}")
        return new
