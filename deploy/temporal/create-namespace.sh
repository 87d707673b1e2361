#!/bin/sh
# Makes the namespace exist with the retention asked for; doing it again changes nothing.
set -eu

: "${TEMPORAL_ADDRESS:?}" "${NAMESPACE:?}" "${RETENTION:?}"

# Try a command every five seconds for two minutes; its output is shown once it works or is given up.
patiently() {
    attempt=1
    until answer=$("$@" 2>&1); do
        if [ "$attempt" -ge 24 ]; then
            echo "$answer" >&2
            echo "gave up: $*; see: docker compose logs temporal" >&2
            exit 1
        fi
        attempt=$((attempt + 1))
        sleep 5
    done
    echo "$answer"
}

patiently temporal operator cluster health --address "$TEMPORAL_ADDRESS"
# The namespace's first seconds: it can be described, but the server does not find it for an update yet.
if temporal operator namespace describe --address "$TEMPORAL_ADDRESS" -n "$NAMESPACE" >/dev/null 2>&1; then
    patiently temporal operator namespace update --address "$TEMPORAL_ADDRESS" -n "$NAMESPACE" --retention "$RETENTION"
else
    temporal operator namespace create --address "$TEMPORAL_ADDRESS" -n "$NAMESPACE" --retention "$RETENTION"
fi
