#!/bin/sh
# InfluxDB 3 Core: the two databases with their retention. Its tokens have no roles, so flowrt and Grafana share the administrator's,
# which `flowrt services init --influx 3` has generated; the port stays on loopback.
set -eu

token="$(sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' /run/secrets/influx3_admin_token)"

create() {
    if influxdb3 create database --host "$INFLUX_URL" --token "$token" --retention-period "$2" "$1"; then
        return
    fi
    # A second start finds it there already.
    influxdb3 show databases --host "$INFLUX_URL" --token "$token" | grep -q "$1"
}

create traffic_monitoring 7d
create traffic_analytics 30d
umask 077
printf '%s' "$token" >/tokens/influx_write_token
