#!/bin/bash
# The sandbox in the worker's network. When the worker restarts, that network is replaced: then this container ends too,
# and Docker starts it again in the new one.
set -euo pipefail

python -m include.sandbox &
sandbox=$!
trap 'kill $sandbox' TERM INT
while kill -0 $sandbox 2>/dev/null && [ -e /sys/class/net/eth0 ]; do
    sleep 2 &
    wait $! || true
done
if kill -0 $sandbox 2>/dev/null; then
    kill $sandbox
    sleep 5 # until the worker runs again
    exit 1
fi
