#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: Debian packages by name, and the npm packages of the end-to-end
# test. It may be run again at any time; what is there is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()

# need PACKAGE TEST...: the package is missing where the test fails.
need() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

postgres_is_there() { command -v postgres || ls /usr/lib/postgresql/*/bin/postgres; }
haproxy_is_there() { command -v haproxy || ls /usr/sbin/haproxy; }
race_detector_works() { command -v gcc && echo '#include <stdlib.h>' | gcc -E -; }

need postgresql postgres_is_there
need zookeeper test -e /usr/share/java/zookeeper.jar
need default-jre-headless command -v java
need nats-server command -v nats-server
need haproxy haproxy_is_there
need iproute2 command -v ip
need gcc command -v gcc
need libc6-dev race_detector_works
need nodejs command -v node
need npm command -v npm

if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "missing: ${missing[*]}; install them, or run this as root" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"
else
  echo "Debian packages: all there"
fi

# npm ci makes node_modules/.package-lock.json; it is older than the lock file when that has changed.
js=test/e2e/js
if [[ ! -f $js/node_modules/.package-lock.json || $js/package-lock.json -nt $js/node_modules/.package-lock.json ]]; then
  echo "installing npm packages of $js"
  (cd "$js" && npm ci --no-audit --no-fund --loglevel=error)
else
  echo "npm packages of $js: all there"
fi
