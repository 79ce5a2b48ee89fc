"""Building blocks of dashboards: Grafana's classic JSON and the InfluxQL in it."""
