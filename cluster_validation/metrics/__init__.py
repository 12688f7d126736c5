"""PromQL in triggers, rules and dashboards: metrics that exist, units, and Prometheus' own tests of the rules."""
