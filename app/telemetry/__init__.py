"""What can be measured and traced. It knows nobody else of the app, and does nothing until it is switched on.

`instruments` has every metric there is; `cells` keeps their numbers for all workers of a server, `scrape` writes them
down for Prometheus; `spans` are the parts of a trace. `otlp` sends both away through OpenTelemetry, whose packages are
imported only there, and only then.
"""
