#!/bin/sh
# Installs the npm packages if they are missing or another lock file was installed. No package runs a script of its own.
set -eu
cd "$(dirname "$0")/.."
installed=node_modules/.hearth-installed
if [ -x node_modules/.bin/node ] && cmp -s package-lock.json "$installed"; then
  exit 0
fi
case $(uname -s)-$(uname -m) in
  Linux-x86_64) arch=x64 ;;
  Linux-aarch64) arch=arm64 ;;
  *)
    echo "hearth: this is $(uname -s) on $(uname -m); Hearth runs on Linux, x64 or arm64" >&2
    exit 1
    ;;
esac
echo "hearth: installing packages (once; about a minute)" >&2
# Not "npm ci": it wants every platform's optional packages in the lock file, also those that do not exist.
# The log level: packages ask for the Node that Hearth runs on, npm warns about the one that it runs on.
npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
# Older versions of npm do not link a program that is called node.
[ -x node_modules/.bin/node ] || ln -sf "../node-linux-$arch/bin/node" node_modules/.bin/node
node_modules/.bin/node --version >/dev/null
cp package-lock.json "$installed"
