"""The addresses that balancers, containers and monitors ask: they come often, from inside, and must not wait."""

ENDPOINTS = ("health.alive", "health.ready", "health.check", "metrics.show")
PATHS = ("/livez", "/readyz", "/healthz", "/metrics")
