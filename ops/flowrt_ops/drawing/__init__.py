"""Dashboards drawn as images without a Grafana server."""
