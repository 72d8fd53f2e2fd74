#!/bin/bash
# The demo device: enrolls once, then serves https://demo.home.arpa and renews its certificate on time.
set -eu
umask 077
state=/var/lib/demo

field() {
  node -p 'JSON.parse(fs.readFileSync(process.argv[1], "utf8"))[process.argv[2]]' "$1" "$2"
}

if [ ! -e $state/tls/hearth.json ]; then
  HEARTH_TOKEN=$(field $state/credential.json id):$(field $state/credential.json token) \
    hearth enroll --gateway "$GATEWAY_URL" --fingerprint "$(field $state/root.json sha256)" --out $state/tls
  rm -f $state/credential.json
fi

nginx -e stderr -c /opt/demo/nginx.conf -g 'daemon off;' &
server=$!
hearth renew --watch --out $state/tls --hook 'nginx -e stderr -c /opt/demo/nginx.conf -s reload' &
renewal=$!

# Neither goes on without the other: a web server whose certificate nobody renews would fail weeks later.
trap 'kill $server $renewal 2>/dev/null || true' EXIT
trap 'exit 0' TERM INT
wait -n $server $renewal
