#!/bin/sh
# Take secrets from files into the environment of this one process, then become flowrt.
# VARIABLE_FILE names the file that holds VARIABLE's value. The database writes its token at its first start.
set -eu

for name in MQTT_PASSWORD INFLUX_TOKEN FLOWRT_HTTP_TOKEN; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        if [ ! -r "$file" ]; then
            echo "flowrt: $file can't be read: run 'flowrt services init', and look at the log of the database" >&2
            exit 3
        fi
        export "$name=$(cat "$file")"
    fi
done

exec flowrt "$@"
