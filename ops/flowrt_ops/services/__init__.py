"""The services behind the dashboards: their secrets, their configuration, starting them without Docker, and asking how they are."""
