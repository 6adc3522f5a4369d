"""Write the alarms of service.yaml, and Prometheus' rules, from alarms.toml: python deploy/aws/make_alarms.py"""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TABLE, SERVICE = HERE / "alarms.toml", HERE / "service.yaml"
RULES = HERE.parent / "prometheus" / "alerts.yml"
BEGIN = "  # From here to the end of the alarms: made by make_alarms.py from alarms.toml. Do not edit by hand.\n"
END = "  # The end of the alarms.\n"
OURS = {"Ref": "AWS::StackName"}  # the namespace of what the log's filters count


class Wrong(Exception):
    """The table does not say what an alarm needs; a sentence that names the alarm."""


def table() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def log_filter(name: str, pattern: str, value: str = "1", dimension: tuple[str, str] | None = None) -> dict[str, Any]:
    counted: dict[str, Any] = {"MetricNamespace": OURS, "MetricName": name, "MetricValue": value}
    if dimension:
        counted["Dimensions"] = [dict(zip(("Key", "Value"), dimension, strict=True))]
    return {
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {"LogGroupName": {"Ref": "Logs"}, "FilterPattern": pattern, "MetricTransformations": [counted]},
    }


def value_of(dimension: str) -> Any:
    named = re.fullmatch(r"\$\{(\w+)(?:\.(\w+))?\}", dimension)
    if not named:
        return dimension
    return {"Fn::GetAtt": [named[1], named[2]]} if named[2] else {"Ref": named[1]}


def alarm(
    name: str,
    says: str,
    metric: str,
    *,
    namespace: str = "",
    of: dict[str, str] | None = None,
    statistic: str = "Sum",
    seconds: int = 300,
    periods: int = 1,
    enough: int = 0,
    rings_from: float | None = None,
    rings_below: float | None = None,
    silence_rings: bool = False,
    size: str = "",
    prometheus: str = "",
    minutes: int = 0,
    only_aws: str = "",
) -> dict[str, Any]:
    """One alarm as CloudFormation takes it. Raises Wrong without one threshold, or a word on Prometheus.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-alarm.html
    """
    if (rings_from is None) == (rings_below is None):
        raise Wrong(f"{name} needs rings_from or rings_below.")
    if bool(prometheus) == bool(only_aws):
        raise Wrong(f"{name} needs a rule for Prometheus, or why there is none.")
    properties: dict[str, Any] = {
        "AlarmDescription": says,
        "AlarmActions": [{"Ref": "Alarms"}],
        "OKActions": [{"Ref": "Alarms"}],
        "Namespace": namespace or OURS,
        "MetricName": metric,
    }
    if of:
        properties["Dimensions"] = [{"Name": key, "Value": value_of(value)} for key, value in of.items()]
    properties |= {"Statistic": statistic, "Period": seconds, "EvaluationPeriods": periods}
    if enough:
        properties["DatapointsToAlarm"] = enough
    below = rings_below is not None
    return {
        "Type": "AWS::CloudWatch::Alarm",
        **({"Condition": size} if size else {}),
        "Properties": properties
        | {
            "Threshold": rings_below if below else rings_from,
            "ComparisonOperator": "LessThanThreshold" if below else "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "breaching" if silence_rings else "notBreaching",
        },
    }


class Dumper(yaml.SafeDumper):
    """No anchors: CloudFormation takes none, and a reader would have to look for them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def resources() -> dict[str, dict[str, Any]]:
    """Filters and alarms by their names. Raises Wrong for what the table gives a name twice, or does not know."""
    found: dict[str, dict[str, Any]] = {}
    for kind, make in (("filter", log_filter), ("alarm", alarm)):
        for row in table()[kind]:
            if row["name"] in found:
                raise Wrong(f"{row['name']} stands in {TABLE.name} twice.")
            found[row["name"]] = make(**row)
    return found


def alarms() -> list[str]:
    return [row["name"] for row in table()["alarm"]]


def section() -> str:
    parts = [
        yaml.dump({name: resource}, Dumper=Dumper, sort_keys=False, width=120) for name, resource in resources().items()
    ]
    lines = "\n".join(parts).splitlines(keepends=True)
    return BEGIN + "".join(line if line == "\n" else f"  {line}" for line in lines) + END


def template(text: str) -> str:
    """`text`, with the alarms as the table has them. Raises Wrong where it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Wrong(f"{SERVICE.name} has no place for the alarms: the lines between\n{BEGIN}{END}")
    return before + section() + after


def rules() -> str:
    """https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/"""
    made = [
        {
            "alert": row["name"],
            "expr": row["prometheus"],
            **({"for": f"{row['minutes']}m"} if "minutes" in row else {}),
            "annotations": {"summary": row["says"], "runbook": "docs/operating.md, When an alarm comes"},
        }
        for row in table()["alarm"]
        if "prometheus" in row
    ]
    head = "# Made by deploy/aws/make_alarms.py from alarms.toml; a test keeps the two the same. Do not edit by hand.\n"
    return head + yaml.safe_dump({"groups": [{"name": "dashboard", "rules": made}]}, sort_keys=False, width=1000)


if __name__ == "__main__":
    RULES.parent.mkdir(exist_ok=True)
    RULES.write_text(rules(), encoding="utf-8")
    SERVICE.write_text(template(SERVICE.read_text(encoding="utf-8")), encoding="utf-8")
