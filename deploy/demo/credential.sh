#!/bin/sh
# Beside the gateway, on its control socket: makes the demo device and a credential for its enrollment.
# Does nothing once the demo has its certificate.
set -eu
umask 077
[ ! -e /var/lib/demo/tls/hearth.json ] || exit 0

credential=$(hearth device add demo --address "$DEMO_ADDRESS" --json) ||
  credential=$(hearth device token demo --json)
printf '%s\n' "$credential" >/var/lib/demo/credential.json
hearth ca fingerprint --json >/var/lib/demo/root.json
