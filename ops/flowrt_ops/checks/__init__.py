"""Checks of dashboards and alert rules without a Grafana server: their queries, mistakes, coverage of a flow, and results."""
