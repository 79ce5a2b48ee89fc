"""InfluxDB: points out."""
