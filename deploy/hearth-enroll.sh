#!/bin/sh
# Gets a device its first certificate from a Hearth gateway, with curl and openssl alone.
#
# usage: HEARTH_TOKEN=ID:TOKEN hearth-enroll.sh GATEWAY_URL ROOT_SHA256 DIR [NAME]
#
#   GATEWAY_URL  https://HOST:PORT of the gateway's EST listener
#   ROOT_SHA256  fingerprint of the home's root, as "hearth ca fingerprint" shows it
#   DIR          gets cert.pem, chain.pem, fullchain.pem, key.pem, root.pem, hearth.json
#   NAME         a name that the certificate must carry, whole or without the home's domain; it gets all
#                names of the device anyway
#
# The token comes from HEARTH_TOKEN or the first line of standard input, never from an argument:
# arguments are visible to everyone on the machine. Running it again after a lost answer gets the
# same certificate. "hearth renew" can take over from here.
set -eu

die() {
  printf 'hearth-enroll: %s\n' "$*" >&2
  exit 1
}

if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  sed -n '4,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
gateway=${1%/}
expected=$(printf %s "$2" | tr -d ' :\t\n' | tr '[:lower:]' '[:upper:]')
dir=$3
name=$(printf %s "${4-}" | tr '[:upper:]' '[:lower:]')
name=${name%.}

case $gateway in
  https://*/* | https://*@* | https://*[\"\\\ ]*) die "the gateway must be given as https://HOST:PORT, without a path" ;;
  https://?*) ;;
  *) die "the gateway must be given as https://HOST:PORT of its EST listener" ;;
esac
case $expected in
  *[!0-9A-F]*) die "the fingerprint is not hexadecimal" ;;
esac
[ ${#expected} -eq 64 ] || die "the fingerprint is not a SHA-256: 64 hexadecimal digits belong there"
case $name in
  *[!a-z0-9.*-]*) die "\"$name\" is no DNS name" ;;
esac
for tool in curl openssl awk; do
  command -v $tool >/dev/null || die "$tool is missing; install it first"
done

token=${HEARTH_TOKEN-}
unset HEARTH_TOKEN
if [ -z "$token" ]; then
  [ ! -t 0 ] || printf 'Token (ID:TOKEN): ' >&2
  IFS= read -r token || true
fi
case $token in
  *[!A-Za-z0-9:._~+/=-]* | :* | *:) die "the token must be given as ID:TOKEN, as \"hearth device add\" shows it" ;;
  *:*) ;;
  *) die "a token is needed: HEARTH_TOKEN=ID:TOKEN, from \"hearth device add\" on the gateway" ;;
esac

for file in cert.pem chain.pem fullchain.pem key.pem root.pem hearth.json; do
  if [ -e "$dir/$file" ] || [ -L "$dir/$file" ]; then
    [ "$(readlink "$dir/$file")" = ".current/$file" ] ||
      die "$dir already holds $file from elsewhere; move it away or choose another directory"
  fi
done

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/no-others"

# An EST operation: est NAME CURL_OPTIONS...; the status is printed, the body goes to $work/body.
# No ~/.curlrc, no proxy, no redirect; a reply has 30 seconds and 512 blocks: 256 KiB, or 512 in bash.
est() (
  operation=$1
  shift
  ulimit -f 512
  exec curl -q -sS --noproxy '*' --proto '=https' --tlsv1.3 --max-time 30 \
    -o "$work/body" -D "$work/headers" -w '%{http_code}' "$@" "$gateway/.well-known/est/$operation"
)

# The same, trusting the pinned root and nothing that the system trusts.
pinned_est() {
  est "$@" --cacert "$work/root.pem" --capath "$work/no-others"
}

# The certificates of the reply, as PEM.
certificates() {
  { tr -d ' \t\r\n' <"$work/body" && echo; } | fold -w 64 | openssl base64 -d >"$work/cms" 2>/dev/null || return 1
  openssl pkcs7 -inform DER -in "$work/cms" -print_certs 2>/dev/null |
    sed -n '/^-----BEGIN/,/^-----END/p' >"$1"
  [ -s "$1" ]
}

# What a refusal says, fit for a terminal.
reason() {
  grep -qi '^content-type: *text/plain' "$work/headers" || return 0
  printf ': '
  tr -cd '[:print:]\n' <"$work/body" | tr '\n' ' ' | cut -c 1-600 | sed 's/ *$//'
}

fingerprint() {
  openssl x509 -in "$1" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g'
}

self_signed() {
  [ "$(openssl x509 -in "$1" -noout -subject | sed 's/^subject=//')" = \
    "$(openssl x509 -in "$1" -noout -issuer | sed 's/^issuer=//')" ]
}

# Whether a certificate is signed by that of a CA, both in their dates, and by no other that the system knows.
issued_by() {
  SSL_CERT_DIR="$work/no-others" SSL_CERT_FILE="$work/no-others/none" \
    openssl verify -partial_chain -trusted "$2" "$1" >/dev/null 2>&1
}

# 1. The root. Whoever answers is listened to, and nothing is believed but the pinned certificate.
status=$(est cacerts --insecure) || die "$gateway cannot be reached; check the address and whether the gateway is on"
[ "$status" = 200 ] || die "$gateway answered $status to cacerts; is it the EST listener of the gateway?"
certificates "$work/all.pem" || die "$gateway did not answer with certificates; is it the EST listener of the gateway?"
awk -v out="$work/ca-" '/^-----BEGIN/ { n++ } { print > (out n ".pem") }' "$work/all.pem"
seen=
for ca in "$work"/ca-*.pem; do
  this=$(fingerprint "$ca")
  if [ "$this" = "$expected" ]; then cp "$ca" "$work/root.pem"; fi
  if self_signed "$ca"; then seen="$seen $this"; fi
done
[ -f "$work/root.pem" ] || die "$gateway shows another root than the pinned one.
  expected: $expected
  seen:    ${seen:- no root at all}
Somebody may be in between, or the gateway was set up anew: compare with \"hearth ca fingerprint\" on
the gateway itself. No token was sent and nothing was written."

# 2. The key, on disk before anything is sent: the gateway repeats a lost answer only for the same key.
(umask 022 && mkdir -p "$dir")
if ! openssl pkey -in "$dir/pending-key.pem" -noout 2>/dev/null; then
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/pending-key.pem.unfinished" 2>/dev/null
  sync
  mv -f "$dir/pending-key.pem.unfinished" "$dir/pending-key.pem"
  sync
fi
set -- -new -key "$dir/pending-key.pem" -subj /
# The gateway knows the names. A full one is asked for, so that a wrong one is refused before it issues.
case $name in
  *.*) set -- "$@" -addext "subjectAltName=DNS:$name" ;;
esac
openssl req "$@" -outform DER -out "$work/request"
openssl base64 -in "$work/request" -out "$work/request.b64"

# 3. The certificate, over a connection that trusts only the root. The token goes by standard input.
waited=0
while :; do
  status=$(printf 'user = "%s"\n' "$token" |
    pinned_est simpleenroll -K - -H 'Content-Type: application/pkcs10' --data-binary "@$work/request.b64") ||
    die "$gateway does not prove to be the pinned gateway, or the connection broke; the address must be one that its certificate names"
  [ "$status" = 202 ] || break
  [ "$waited" -lt 1800 ] || die "nobody approved this device within 30 minutes; approve it and run this again"
  pause=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,9\}\).*/\1/p' "$work/headers")
  pause=${pause:-10}
  [ "$pause" -gt 0 ] || pause=1
  [ "$pause" -le 120 ] || pause=120
  echo "the gateway waits for a person to approve this device; asking again in $pause seconds" >&2
  sleep "$pause"
  waited=$((waited + pause))
done
case $status in
  200) ;;
  401) die "the gateway does not accept the token; get a new one with \"hearth device token NAME\"$(reason)" ;;
  *) die "the gateway refused ($status)$(reason)" ;;
esac

# 4. What came back: our key, our name, signed up to the root.
refuse() {
  die "the certificate that came back $*. It was not stored; what was there before stays in use"
}
certificates "$work/issued.pem" || die "the gateway did not answer with a certificate"
openssl x509 -in "$work/issued.pem" -out "$work/cert.pem"
[ "$(openssl x509 -in "$work/cert.pem" -noout -pubkey)" = "$(openssl pkey -in "$dir/pending-key.pem" -pubout)" ] ||
  refuse "is for another key"

names=$(openssl x509 -in "$work/cert.pem" -noout -text | sed -n '/Subject Alternative Name/{n;p;}' | tr -d ' ' | tr ',' '\n')
if [ -n "$name" ]; then
  printf '%s\n' "$names" | awk -v wanted="DNS:$name" \
    '$0 == wanted || index($0, wanted ".") == 1 { found = 1 } END { exit !found }' ||
    refuse "does not carry the name $name"
fi

: >"$work/chain.pem"
top=$work/cert.pem
depth=0
until issued_by "$top" "$work/root.pem"; do
  above=
  for ca in "$work"/ca-*.pem; do
    if self_signed "$ca" || ! issued_by "$top" "$ca"; then continue; fi
    above=$ca
    break
  done
  depth=$((depth + 1))
  if [ -z "$above" ] || [ $depth -gt 4 ]; then refuse "does not chain to the pinned root"; fi
  cat "$above" >>"$work/chain.pem"
  top=$above
done
SSL_CERT_DIR="$work/no-others" SSL_CERT_FILE="$work/no-others/none" openssl verify \
  -CAfile "$work/root.pem" -untrusted "$work/chain.pem" -purpose sslserver "$work/cert.pem" >/dev/null 2>&1 ||
  refuse "does not stand up to openssl verify"

# 5. The files, as "hearth renew" knows them: a whole set under a name of its own, then one link is swapped.
serial=$(openssl x509 -in "$work/cert.pem" -noout -serial | sed 's/.*=//')
generation=$serial
copy=2
while [ -e "$dir/.generations/$generation" ]; do
  generation=$serial.$copy
  copy=$((copy + 1))
done

# Lines of a JSON array: the names of one kind.
json_list() {
  printf '%s\n' "$names" | sed -n "s/^$1:\(.*\)/\1/p" | awk '{ printf "%s\"%s\"", n++ ? ", " : "", $0 }'
}

# RFC 3339 times of beginning, end, and two thirds of the way; openssl prints "Nov 24 09:46:58 2026 GMT".
json_times() {
  openssl x509 -in "$work/cert.pem" -noout -startdate -enddate | awk '
    function days(y, m, d) {
      y -= m <= 2
      return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m + (m > 2 ? -3 : 9)) + 2) / 5) + d
    }
    function seconds(    hms) {
      sub(/.*=/, "")
      split($3, hms, ":")
      return days($4, (index("JanFebMarAprMayJunJulAugSepOctNovDec", $1) + 2) / 3, $2) * 86400 + hms[1] * 3600 + hms[2] * 60 + hms[3]
    }
    function text(t,    day, y, m) {
      day = int(t / 86400)
      y = int(day / 365.2425)
      while (days(y + 1, 1, 1) <= day) y++
      while (days(y, 1, 1) > day) y--
      m = 12
      while (days(y, m, 1) > day) m--
      t -= day * 86400
      return sprintf("\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", y, m, day - days(y, m, 1) + 1, int(t / 3600), int(t / 60) % 60, t % 60)
    }
    { at[NR] = seconds() }
    END {
      printf "  \"notBefore\": %s,\n  \"notAfter\": %s,\n", text(at[1]), text(at[2])
      printf "  \"renewAt\": %s\n", text(int(at[1] + (at[2] - at[1]) * 2 / 3))
    }'
}

umask 022
staging=$dir/.generations/unfinished
rm -rf "$staging"
mkdir -p "$staging"
cat "$work/cert.pem" >"$staging/cert.pem"
cat "$work/chain.pem" >"$staging/chain.pem"
cat "$work/cert.pem" "$work/chain.pem" >"$staging/fullchain.pem"
cat "$work/root.pem" >"$staging/root.pem"
cp -p "$dir/pending-key.pem" "$staging/key.pem"
{
  printf '{\n  "gateway": "%s",\n' "$gateway"
  printf '  "rootFingerprint": "%s",\n' "$(printf %s "$expected" | sed 's/../&:/g; s/:$//')"
  printf '  "names": [%s],\n  "addresses": [%s],\n' "$(json_list DNS)" "$(json_list IPAddress)"
  printf '  "serial": "%s",\n' "$serial"
  json_times
  printf '}\n'
} >"$staging/hearth.json"
sync
mv "$staging" "$dir/.generations/$generation"
for file in cert.pem chain.pem fullchain.pem key.pem root.pem hearth.json; do
  [ -L "$dir/$file" ] || ln -s ".current/$file" "$dir/$file"
done
before=$(readlink "$dir/.current" || true)
rm -f "$dir/.current.next"
ln -s ".generations/$generation" "$dir/.current.next"
sync
# Without -T, mv would move the new link into the directory that the old one leads to.
mv -fT "$dir/.current.next" "$dir/.current"
sync
rm -f "$dir/pending-key.pem"
for old in "$dir"/.generations/*; do
  case .generations/${old##*/} in
    ".generations/$generation" | "$before") ;;
    *) rm -rf "$old" ;;
  esac
done
echo "enrolled: $(printf '%s\n' "$names" | sed 's/^[^:]*://' | tr '\n' ' ')in $dir"
