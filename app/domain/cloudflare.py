"""What Cloudflare in front of the dashboard is set to, in one table, and where a zone differs from it.

The shapes are those of Cloudflare's API, version 4 (https://developers.cloudflare.com/api/): zone settings, bot
management, managed transforms, and the entry point rulesets of phases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORKER = "dashboard-edge"  # `name` in deploy/cloudflare/worker/wrangler.jsonc
FREE = "free"
REF = "impacteragi-dashboard-"  # begins the `ref` of each rule that is ours


@dataclass(frozen=True, slots=True)
class Setting:
    """`wanted` is what must stand in the result at `path` (under the zone), and what is sent to make it so; `also`:
    other results that are as good.
    """

    name: str
    path: str
    wanted: Mapping[str, Any]
    why: str
    also: tuple[Mapping[str, Any], ...] = ()
    method: str = "PATCH"


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules of ours among those of a phase: before all others, or behind them where the last one that matches wins."""

    name: str
    phase: str
    rules: tuple[Mapping[str, Any], ...]
    why: str
    last: bool = False

    @property
    def path(self) -> str:
        return f"/rulesets/phases/{self.phase}/entrypoint"


@dataclass(frozen=True, slots=True)
class Difference:
    """`is_`: what the zone has, `wanted`: what it should have, both in words. `by_hand`: what a person has to do, where
    nothing here can.
    """

    name: str
    is_: str
    wanted: str
    why: str
    by_hand: str = ""


def _zone(name: str, key: str, value: Any, why: str, *also: Any) -> Setting:
    others = tuple({"value": each} for each in also)
    return Setting(name, f"/settings/{key}", {"value": value}, why, others)


ADDS = "it adds scripts, links or headers to pages, which the content security policy refuses"
SETTINGS = (
    _zone("SSL/TLS mode", "ssl", "strict", "anything less lets someone behind Cloudflare read or change payments"),
    _zone("Always Use HTTPS", "always_use_https", "on", "nothing is answered in the open"),
    _zone("Minimum TLS", "min_tls_version", "1.2", "older ones are broken", "1.3"),
    _zone("TLS 1.3", "tls_1_3", "on", "the newest, without 0-RTT"),
    _zone("0-RTT", "0rtt", "off", "it lets a recorded request be sent again"),
    _zone(
        *("HSTS", "security_header", {"strict_transport_security": {"enabled": False}}),
        "the app sends its own, two years; one place to change it is enough",
    ),
    _zone("HTTP/2", "http2", "on", "pages come sooner"),
    _zone("HTTP/3", "http3", "on", "pages come sooner"),
    _zone("Brotli", "brotli", "on", "pages are smaller; what the app has packed passes as it is"),
    _zone("Always Online", "always_online", "off", "pages are one person's"),
    _zone("Browser Cache TTL", "browser_cache_ttl", 0, "the app says how long a file lasts"),
    _zone("Rocket Loader", "rocket_loader", "off", ADDS),
    _zone("Email Address Obfuscation", "email_obfuscation", "off", ADDS),
    _zone("Mirage", "mirage", "off", ADDS),
    _zone("Speed Brain", "speed_brain", "off", ADDS),
    _zone("Pseudo IPv4", "pseudo_ipv4", "off", "the app would count many visitors as one"),
    _zone(
        *("Security Level", "security_level", "medium"),
        "pages ask for news by themselves and cannot solve the challenges of Under Attack",
        *("essentially_off", "low", "high"),
    ),
    Setting(
        "Bot Fight Mode",
        "/bot_management",
        {"fight_mode": False},
        "it challenges programs and Stripe, and no rule can exempt them",
        method="PUT",
    ),
    Setting("JavaScript Detections", "/bot_management", {"enable_js": False}, ADDS, method="PUT"),
    Setting("AI Labyrinth", "/bot_management", {"crawler_protection": "disabled"}, ADDS, method="PUT"),
    Setting(
        "Remove visitor IP headers",
        "/managed_headers",
        {"managed_request_headers": [{"id": "remove_visitor_ip_headers", "enabled": False}]},
        "the app would see one visitor only, and limit all of them together",
    ),
)

WEBHOOK = "/api/stripe/webhook"
SIGN_INS = ("/login", "/signup", "/forgot", "/api/auth/login", "/api/auth/signup")
FREE_TEXT = ("/tasks", "/api/tasks", "/admin/", "/api/admin/tasks")
FREE_TEXT_AT = "/credits/draft"


def rules_of(host: str, plan: str) -> tuple[Rules, ...]:
    """The rules for this host on this plan (`free`, `pro`, …). Other hosts of the zone are left alone.

    Of rate limiting the Free plan counts by path alone, over 10 seconds.
    """
    here = f'http.host eq "{host}"'
    path = "http.request.uri.path"
    anywhere = " or ".join(f'starts_with({path}, "{each}")' for each in FREE_TEXT)
    limited = "{" + " ".join(f'"{each}"' for each in SIGN_INS) + "}"
    pace = (10, 5, 10) if plan == FREE else (60, 20, 60)
    return (
        Rules(
            "Custom rules",
            "http_request_firewall_custom",
            (
                _rule(
                    "stripe",
                    f'({here} and {path} eq "{WEBHOOK}")',
                    "skip",
                    {
                        "ruleset": "current",
                        "phases": ["http_ratelimit", "http_request_sbfm", "http_request_firewall_managed"],
                        "products": ["bic", "hot", "securityLevel", "uaBlock", "zoneLockdown"],
                    },
                ),
                _rule(
                    "programs",
                    f'({here} and starts_with({path}, "/api/"))',
                    "skip",
                    {"phases": ["http_request_sbfm"], "products": ["bic", "securityLevel"]},
                ),
                _rule(
                    "free-text",
                    f'({here} and http.request.method eq "POST" and ({anywhere} or {path} eq "{FREE_TEXT_AT}"))',
                    "skip",
                    {"phases": ["http_request_firewall_managed"]},
                ),
            ),
            "Stripe and customers' programs solve no challenge; tasks may well hold SQL, HTML or shell",
        ),
        Rules(
            "Rate limiting",
            "http_ratelimit",
            (
                _rule(
                    "sign-ins",
                    f"({path} in {limited})" if plan == FREE else f"({here} and {path} in {limited})",
                    "block",
                    None,
                    ratelimit={
                        "characteristics": ["cf.colo.id", "ip.src"],
                        "period": pace[0],
                        "requests_per_period": pace[1],
                        "mitigation_timeout": pace[2],
                    },
                ),
            ),
            "before the app's own limits, which stay",
        ),
        Rules(
            "Configuration rule",
            "http_config_settings",
            (
                _rule(
                    "pages",
                    f"({here})",
                    "set_config",
                    {"request_body_buffering": "full", "disable_rum": True, "disable_zaraz": True},
                ),
            ),
            "a body that dribbles must not hold a connection of the app; Web Analytics and Zaraz add scripts",
            last=True,
        ),
        Rules(
            "Cache rules",
            "http_request_cache_settings",
            (
                _rule("nothing", f"({here})", "set_cache_settings", {"cache": False}),
                _rule(
                    "static",
                    f'({here} and starts_with({path}, "/static/"))',
                    "set_cache_settings",
                    {
                        "cache": True,
                        "edge_ttl": {"mode": "bypass_by_default"},
                        "browser_ttl": {"mode": "respect_origin"},
                    },
                ),
            ),
            "without them Cloudflare looks at endings: .csv, which statements have, is one that it keeps",
            last=True,
        ),
    )


def _rule(
    ref: str, expression: str, action: str, parameters: Mapping[str, Any] | None, **more: Any
) -> Mapping[str, Any]:
    rule = {"ref": REF + ref, "description": f"Dashboard: {ref}", "expression": expression, "action": action, **more}
    return rule | {"enabled": True} | ({"action_parameters": parameters} if parameters else {})


def fits(found: Any, wanted: Any, *, absent_is_off: bool = True) -> bool:
    """Whether all that is wanted stands in what was found, beside whatever else does. Lists of words have no order; of
    things with an `id` only those that are wanted are looked at.
    """
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return False
        return all(
            fits(found[key], value, absent_is_off=absent_is_off) if key in found else absent_is_off and is_off(value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(found, list):
            return False
        if all(isinstance(each, Mapping) for each in wanted):
            known = {each.get("id"): each for each in found if isinstance(each, Mapping)}
            return all(
                fits(known.get(each["id"], {}), {key: value for key, value in each.items() if key != "id"})
                for each in wanted
            )
        return sorted(map(str, found)) == sorted(map(str, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


def is_off(value: Any) -> bool:
    return value is False or value in ("off", "disabled")


def merged(rules: Rules, found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The whole phase with our rules as they should be, and everybody else's as they are, in their order."""
    ours = list(rules.rules)
    others = [
        {key: value for key, value in rule.items() if key not in ("version", "last_updated")}
        for rule in found
        if not str(rule.get("ref", "")).startswith(REF)
    ]
    return [*others, *ours] if rules.last else [*ours, *others]


def rules_fit(rules: Rules, found: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ours stand whole and in their order, before or behind all others, and no other rule of ours."""
    count = len(rules.rules)
    there = found[len(found) - count :] if rules.last else found[:count]
    of_ours = sum(str(rule.get("ref", "")).startswith(REF) for rule in found)
    return of_ours == count == len(there) and all(
        fits(rule, wanted, absent_is_off=False) for rule, wanted in zip(there, rules.rules, strict=True)
    )
