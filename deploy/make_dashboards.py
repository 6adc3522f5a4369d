"""Write Grafana's dashboard and CloudWatch's from dashboard.toml: python deploy/make_dashboards.py

CloudWatch's are resources of aws/service.yaml, below the alarms: one for each size.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TABLE, GRAFANA, SERVICE = HERE / "dashboard.toml", HERE / "grafana/dashboard.json", HERE / "aws/service.yaml"
BEGIN = "  # From here to the end of the dashboards: made by deploy/make_dashboards.py. Do not edit by hand.\n"
END = "  # The end of the dashboards.\n"
ACROSS, WIDTH, HEIGHT = 2, 12, 8  # panels in a row; both programs have 24 columns


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["panel"]
    return found


def place(number: int) -> dict[str, int]:
    return {"x": number % ACROSS * WIDTH, "y": number // ACROSS * HEIGHT}


def grafana() -> str:
    """https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/"""
    source = {"type": "prometheus", "uid": "${source}"}
    made = {
        "title": "Dashboard",
        "uid": "impacteragi-dashboard",
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [
            {
                "id": number + 1,
                "type": "timeseries",
                "title": panel["title"],
                "description": panel["says"],
                "datasource": source,
                "gridPos": {**place(number), "w": WIDTH, "h": HEIGHT},
                "fieldConfig": {"defaults": {"unit": panel["unit"]}, "overrides": []},
                "targets": [
                    {"refId": "ABCDEFGH"[at], "datasource": source, "expr": query, "legendFormat": legend}
                    for at, (query, legend) in enumerate(panel["prometheus"])
                ],
            }
            for number, panel in enumerate(panels())
        ],
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def widget(panel: dict[str, Any], number: int) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html"""
    properties: dict[str, Any] = {"title": panel["title"], "region": "${AWS::Region}"}
    if "logs" in panel:
        kind, properties["query"] = "log", "SOURCE '${Logs}' | " + panel["logs"]
        properties["view"] = "timeSeries" if "by bin(" in panel["logs"] else "table"
    else:
        kind, properties["view"] = "metric", "timeSeries"
        if "search" in panel:
            each = json.dumps(panel["search"])[1:-1].replace('\\"', '"')
            properties["metrics"] = [[{"expression": f"SEARCH('{each}', 'Sum', 300)", "id": "e1"}]]
        else:
            properties["metrics"] = [
                [
                    namespace or "${AWS::StackName}",
                    metric,
                    *(part for pair in of.items() for part in pair),
                    {"stat": how},
                ]
                for namespace, metric, how, of in panel["cloudwatch"]
            ]
    return {"type": kind, **place(number), "width": WIDTH, "height": HEIGHT, "properties": properties}


def cloudwatch() -> dict[str, dict[str, Any]]:
    """The small size has no balancer, so its dashboard names none."""
    found = {}
    for size in ("Standard", "Small"):
        shown = [panel for panel in panels() if panel.get("size", size) == size]
        body = json.dumps(
            {"widgets": [widget(panel, number) for number, panel in enumerate(shown)]}, ensure_ascii=False
        )
        found[f"{size}Dashboard"] = {
            "Type": "AWS::CloudWatch::Dashboard",
            "Condition": size,
            "Properties": {"DashboardName": {"Fn::Sub": "${AWS::StackName}"}, "DashboardBody": {"Fn::Sub": body}},
        }
    return found


def template(text: str) -> str:
    """`text` with the dashboards as the table has them. Raises ValueError where it has no place for them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{SERVICE.name} has no place for the dashboards: the lines between\n{BEGIN}{END}")
    parts = [yaml.safe_dump({name: made}, sort_keys=False, width=120) for name, made in cloudwatch().items()]
    lines = "\n".join(parts).splitlines(keepends=True)
    return before + begin + "".join(line if line == "\n" else f"  {line}" for line in lines) + end + after


if __name__ == "__main__":
    GRAFANA.parent.mkdir(exist_ok=True)
    GRAFANA.write_text(grafana(), encoding="utf-8")
    SERVICE.write_text(template(SERVICE.read_text(encoding="utf-8")), encoding="utf-8")
