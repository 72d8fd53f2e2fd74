#!/bin/sh
# Installs the npm packages if they are missing or older than the lock file. No package runs a script of its own.
set -eu
cd "$(dirname "$0")/.."
stamp=node_modules/.hearth-installed
if [ -x node_modules/.bin/node ] && [ -f "$stamp" ] && cmp -s package-lock.json "$stamp"; then
  exit 0
fi
case $(uname -s)-$(uname -m) in
  Linux-x86_64 | Linux-aarch64) ;;
  *)
    echo "hearth: this is $(uname -s) on $(uname -m); Hearth runs on Linux, x64 or arm64" >&2
    exit 1
    ;;
esac
echo "hearth: installing packages (once; about a minute)" >&2
# Packages ask for the Node that Hearth runs on, not for the one npm runs on: no warnings about that.
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
cp package-lock.json "$stamp"
