"""`scripts/edge settings` against a zone on loopback: what differs is shown, set once, and nobody else's is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from app.domain.cloudflare import REF, SETTINGS, WORKER, fits, rules_of
from app.gateways import cloudflare
from scripts.cloudflare.__main__ import RIGHTS, main
from tests.gateways.cloudflare_zone import HOST, TOKEN, ZONE_ID, Api, Zone, error, times, told
from tests.local.test_deploy import REPO

OTHERS = [
    {"id": "o1", "ref": "o1", "expression": 'http.host eq "shop.example.com"', "action": "block", "version": "3"},
    {"id": "o2", "ref": "o2", "expression": "ip.src eq 192.0.2.1", "action": "skip", "enabled": False, "version": "1"},
]
ORIGIN = "dashboard-1234.us-east-1.elb.amazonaws.com"
RECORD = {"id": "d1", "type": "CNAME", "name": HOST, "content": ORIGIN, "proxied": True, "ttl": 1}


@pytest.fixture
def zone() -> Zone:
    return Zone(records=[dict(RECORD)])


@pytest.fixture
def run(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """As somebody types it. Pauses are noted, not made."""
    monkeypatch.setattr(cloudflare, "sleep", lambda seconds: pauses.append(seconds))
    pauses: list[float] = []
    with Api(zone) as api:

        def go(*arguments: str, token: str = TOKEN, name: str = ZONE_ID) -> Result:
            zone.asked.clear()
            environment = {"CLOUDFLARE_API_TOKEN": token, "CLOUDFLARE_ZONE": name, "CLOUDFLARE_API": api.url}
            done = CliRunner().invoke(main, ["settings", "--url", f"https://{HOST}", *arguments], env=environment)
            assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
            assert token not in done.output
            return done

        go.pauses = pauses  # type: ignore[attr-defined]
        yield go


def test_a_dry_run_shows_what_differs_and_changes_nothing(run, zone):
    before = json.dumps([zone.settings, zone.phases, zone.bots, zone.records])

    done = run("--dry-run")

    assert done.exit_code == 1
    assert "differs  SSL/TLS mode: full; wanted: strict" in done.output
    assert "differs  Browser Cache TTL: 14400; wanted: 0" in done.output
    assert "differs  Bot Fight Mode: fight_mode on; wanted: fight_mode off" in done.output
    assert "differs  Custom rules: none; wanted: Dashboard: stripe" in done.output
    assert "right    HTTP/3" in done.output
    assert zone.changes == []
    assert json.dumps([zone.settings, zone.phases, zone.bots, zone.records]) == before


def test_it_sets_what_differs_once_and_a_repeat_changes_nothing(run, zone):
    done, again = run(), run()

    assert (done.exit_code, again.exit_code) == (0, 0)
    assert "All is as it should be." in again.output
    assert zone.changes == []
    assert zone.settings["ssl"] == "strict"
    assert zone.bots == {"fight_mode": False, "enable_js": False, "using_latest_model": True}
    stripe, *_ = zone.phases["http_request_firewall_custom"]
    assert f'http.host eq "{HOST}" and http.request.uri.path eq "/api/stripe/webhook"' in stripe["expression"]
    assert "http_ratelimit" in stripe["action_parameters"]["phases"]
    assert zone.phases["http_config_settings"][0]["action_parameters"]["request_body_buffering"] == "full"


def test_rules_of_others_stay_as_they_are_and_where_they_are(run, zone):
    for phase in ("http_request_firewall_custom", "http_request_cache_settings"):
        zone.phases[phase] = [dict(rule) for rule in OTHERS]
    run()
    zone.phases["http_request_firewall_custom"].insert(1, {"id": "o3", "ref": "o3", "expression": "true"})  # meanwhile

    again = run()

    assert again.exit_code == 0
    custom = [rule["ref"] for rule in zone.phases["http_request_firewall_custom"]]
    assert custom == [f"{REF}stripe", f"{REF}programs", f"{REF}free-text", "o3", "o1", "o2"], "ours are asked first"
    cache = zone.phases["http_request_cache_settings"]
    assert [rule["ref"] for rule in cache] == ["o1", "o2", f"{REF}nothing", f"{REF}static"], "the last one wins"
    kept = [{key: rule.get(key) for key in ("id", "expression", "action", "enabled")} for rule in cache[:2]]
    assert kept == [{key: rule.get(key) for key in ("id", "expression", "action", "enabled")} for rule in OTHERS]


def change_one(phases):
    phases["http_request_firewall_custom"][0]["enabled"] = False


def double_one(phases):
    rules = phases["http_request_firewall_custom"]
    rules.append({**rules[1], "id": "twin"})


def swap_two(phases):
    phases["http_request_cache_settings"].reverse()


def limit_more(phases):
    phases["http_ratelimit"][0]["ratelimit"]["requests_per_period"] = 2


@pytest.mark.parametrize("change", [change_one, double_one, swap_two, limit_more])
def test_a_rule_of_ours_that_was_changed_is_put_right(run, zone, change):
    run()
    before = {phase: [rule["ref"] for rule in rules] for phase, rules in zone.phases.items()}
    change(zone.phases)

    assert run("--dry-run").output.count("differs") == 1
    assert run().exit_code == 0
    assert len(zone.changes) == 1
    assert {phase: [rule["ref"] for rule in rules] for phase, rules in zone.phases.items()} == before


def test_the_free_plan_gets_what_it_can_have(run, zone):
    zone.plan = "free"

    assert run().exit_code == 0

    (rule,) = zone.phases["http_ratelimit"]
    assert (rule["ratelimit"]["period"], "http.host" in rule["expression"]) == (10, False)


def test_what_the_plan_keeps_is_told_and_left_to_a_person(run, zone):
    zone.locked.add("always_online")

    done = run()

    assert done.exit_code == 1
    assert "By hand: Cloudflare lets nobody change it on this plan" in done.output
    assert ("PATCH", "/settings/always_online") not in zone.changes
    assert "Not as it should be: 1." in done.output


def test_the_record_is_made_proxied_or_led_elsewhere_as_it_is_said(run, zone):
    zone.records.clear()
    assert "By hand: say where it leads: --origin" in run().output
    assert run("--origin", f"{ORIGIN}.").exit_code == 0
    (made,) = zone.records
    assert (made["type"], made["content"], made["proxied"]) == ("CNAME", ORIGIN, True)

    made["proxied"] = False
    assert run().exit_code == 0
    assert made["proxied"] is True
    assert run("--origin", "other.example.net").exit_code == 0
    assert made["content"] == "other.example.net"


def test_a_route_that_leads_past_the_worker_is_told(run, zone):
    zone.routes[0]["script"] = "old-worker"

    done = run()

    assert done.exit_code == 1
    assert "Worker route: old-worker; wanted: dashboard.example.com/* to dashboard-edge" in done.output
    assert "By hand: npx wrangler deploy" in done.output


# Faults


def test_a_token_that_is_none_is_told_with_the_rights_that_it_needs(run, zone):
    done = run(token="another-token")

    assert done.exit_code == 2
    assert "Cloudflare does not take the token" in done.output
    assert all(name in done.output for name in RIGHTS)
    assert len(zone.asked) == 1


def test_what_the_token_may_not_is_named_and_the_rest_is_done(run, zone):
    zone.fault = times(99, 403, body=told(None, [error(10000, "Authentication error")]), at="/bot_management")

    done = run()

    assert done.exit_code == 1
    assert (
        "FAILED   Bot Fight Mode: the token has no right to it. GET /bot_management".replace(
            "GET /bot", f"GET /zones/{ZONE_ID}/bot"
        )
        in done.output
    )
    assert "Authentication error (10000)" in done.output
    assert zone.settings["ssl"] == "strict"
    assert len(zone.phases) == 4
    zone.fault = times(0, 403)
    assert run().exit_code == 0
    assert {path for _, path in zone.changes} == {"/bot_management"}, "only what was left"


def test_asked_to_wait_it_waits_as_long_and_says_so(run, zone):
    zone.fault = times(2, 429, {"Retry-After": "17"}, told(None, [error(10429, "Rate limited")]))

    done = run()

    assert (done.exit_code, run.pauses) == (0, [17, 17])
    assert "Cloudflare asks to wait: going on in 17 s." in done.output


@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"Retry-After": "1"}])
def test_asked_to_wait_for_too_long_or_too_often_it_stops_in_words_and_a_repeat_goes_on(run, zone, headers):
    zone.fault = times(99, 429, headers, at="/rulesets")

    done = run()

    assert done.exit_code == 2
    assert "takes no more calls" in done.output
    assert max(run.pauses, default=0) <= 300
    assert "What is set stays set: run it again, and it goes on from here." in done.output
    zone.fault = times(0, 429)
    assert run().exit_code == 0
    assert not [path for _, path in zone.changes if path.startswith("/settings")], "what was set is not set again"


def test_a_fault_of_cloudflares_is_tried_again(run, zone):
    zone.fault = times(3, 502, body="<html>Bad gateway</html>")

    assert (run().exit_code, run.pauses) == (0, [1, 2, 4])


@pytest.mark.parametrize(
    ("status", "body"), [(503, "<html>"), (200, "<html>"), (200, []), (200, {"success": False, "errors": []})]
)
def test_what_is_no_answer_ends_in_words_and_no_trace(run, zone, status, body):
    zone.fault = times(999, status, body=body if isinstance(body, str) else json.dumps(body))

    done = run()

    assert done.exit_code == 2
    assert "Cloudflare's API does not answer" in done.output
    assert zone.changes == []


def test_nobody_at_the_address_of_the_api_ends_in_words(run, zone):
    environment = {"CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ZONE": ZONE_ID, "CLOUDFLARE_API": "http://127.0.0.1:9"}

    done = CliRunner().invoke(main, ["settings", "--dry-run"], env=environment)

    assert done.exit_code == 2
    assert "does not answer (ConnectionError)" in done.output


def test_what_cloudflare_refuses_is_told_in_its_words_and_the_rest_is_done(run, zone):
    refused = told(None, [error(20120, "not entitled to use the action")])
    zone.fault = lambda method, path: (400, {}, refused) if method == "PUT" and "ratelimit" in path else None

    done = run()

    assert done.exit_code == 1
    assert "FAILED   Rate limiting:" in done.output
    assert "not entitled to use the action (20120)" in done.output
    assert len(zone.phases) == 3


def test_what_cloudflare_takes_and_does_not_do_is_told(run, zone):
    zone.fault = lambda method, path: (200, {}, told({}, [])) if (method, path) == ("PATCH", "/settings/ssl") else None

    done = run()

    assert done.exit_code == 1
    assert "FAILED   SSL/TLS mode: Cloudflare has taken it, and says full all the same" in done.output


def test_a_zone_is_found_by_its_name(run, zone):
    assert run(name="example.com").exit_code == 0
    unknown = run(name="example.org")

    assert unknown.exit_code == 1
    assert "no zone example.org that this token may see" in unknown.output


@pytest.mark.parametrize("missing", ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ZONE"])
def test_without_its_settings_it_says_what_it_needs(missing):
    given = {"CLOUDFLARE_API_TOKEN": TOKEN, "CLOUDFLARE_ZONE": ZONE_ID, missing: ""}

    done = CliRunner().invoke(main, ["settings"], env=given)

    assert done.exit_code == 2
    assert "Zone WAF: Edit" in done.output


# The table


@pytest.mark.parametrize(
    ("found", "wanted", "does"),
    [
        ({"value": "on", "id": "x"}, {"value": "on"}, True),
        ({"value": "off"}, {"value": "on"}, False),
        ({}, {"value": "off"}, True),
        ({}, {"value": "on"}, False),
        ({"value": 0}, {"value": False}, False),
        ({"value": False}, {"value": 0}, False),
        (None, {"value": "off"}, False),
        ({"a": ["y", "x"]}, {"a": ["x", "y"]}, True),
        ({"a": ["x"]}, {"a": ["x", "y"]}, False),
        ({"a": "xy"}, {"a": ["x", "y"]}, False),
        ({"a": [{"id": "x", "enabled": True}]}, {"a": [{"id": "x", "enabled": False}]}, False),
        ({"a": []}, {"a": [{"id": "x", "enabled": False}]}, True),
    ],
)
def test_what_fits(found, wanted, does):
    assert fits(found, wanted) is does


def test_the_table_has_its_twenty_and_the_readme_names_each():
    text = (REPO / "deploy/cloudflare/README.md").read_text(encoding="utf-8")
    names = [setting.name for setting in SETTINGS] + [rules.name for rules in rules_of(HOST, "pro")]
    assert len(names) >= 20
    assert [name for name in names if name not in text] == []
    assert [name for name in RIGHTS if name not in text] == []


def test_every_path_in_a_rule_is_one_of_the_app(app):
    known = [rule.rule for rule in app.url_map.iter_rules()]
    rules = [rule for plan in ("free", "pro") for each in rules_of(HOST, plan) for rule in each.rules]
    paths = set(re.findall(r'"(/[^"]*)"', " ".join(rule["expression"] for rule in rules)))
    assert len(paths) >= 10
    assert [path for path in paths if not any(rule.startswith(path) for rule in known)] == []


def test_the_worker_that_the_route_must_lead_to_is_the_one_that_is_deployed():
    text = (REPO / "deploy/cloudflare/worker/wrangler.jsonc").read_text(encoding="utf-8")
    assert f'"name": "{WORKER}"' in text
