#!/bin/bash
# InfluxDB 2, once, at the first start: the second bucket, a token that may only write, an account that may only read.
# The image has created the organisation, the bucket of raw points and the administrator, whose token flowrt never sees.
set -euo pipefail

org="$DOCKER_INFLUXDB_INIT_ORG"
raw="$DOCKER_INFLUXDB_INIT_BUCKET_ID"
read_password="$(cat /run/secrets/influx_read_password)"

influx bucket create --org "$org" --name traffic_analytics --retention 30d >/dev/null
analytics="$(influx bucket list --org "$org" --name traffic_analytics --hide-headers | cut -f 1)"

# Grafana asks InfluxQL over /query with user and password; buckets answer to their own names.
influx v1 auth create --org "$org" --username grafana --password "$read_password" \
    --read-bucket "$raw" --read-bucket "$analytics" >/dev/null

umask 077
influx auth create --org "$org" --description "flowrt writes" \
    --write-bucket "$raw" --write-bucket "$analytics" --hide-headers | cut -f 3 >/tokens/influx_write_token

echo "flowrt: buckets traffic_monitoring (7 days) and traffic_analytics (30 days), a writer and a reader are there"
