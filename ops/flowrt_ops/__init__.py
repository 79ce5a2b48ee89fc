"""flowrt_ops: what stands around a running flow: dashboards, alerts, and the services that carry both."""
