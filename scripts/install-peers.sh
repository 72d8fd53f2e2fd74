#!/bin/sh
# Installs the programs that the tests run against, from Debian. As root; otherwise names what is missing.
set -eu
packages="
  openssl curl ca-certificates
  bind9-dnsutils knot-dnsutils knot nsd unbound dnsmasq-base dnsperf
  kea-dhcp4-server kea-dhcp-ddns-server
  strongswan-pki libstrongswan-standard-plugins
  gnutls-bin libnss3-tools chromium
  postgresql nginx-light docker-compose
  wrk nghttp2-client golang-cfssl procps iproute2 faketime
"
missing=""
for package in $packages; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "hearth: the tests need these Debian packages; as root, say: apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "hearth: installing what the tests run against:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# Installed for their programs: nothing is to start by itself.
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  made=$policy
fi
trap '[ -z "$made" ] || rm -f "$made"' EXIT
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing
