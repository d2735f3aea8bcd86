#!/usr/bin/env bash
# Installs the servers that the tests start for themselves (redis-server, redis-sentinel, rabbitmq-server, and openssl
# for their certificates) when they are missing and apt may be used, and lays RabbitMQ 4 beside them
# (scripts/rabbitmq-4.sh). Where a container engine answers, the servers run there instead (interop-tests/container-engine.ts). Elsewhere it says what to install; the tests then skip what needs a
# server, and fail in CI. Safe to call from several processes at once.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=(redis-server redis-sentinel rabbitmq-server openssl)
if { [ -S /var/run/docker.sock ] || [ -n "${DOCKER_HOST:-}" ]; } && [ -x node_modules/.bin/tsx ] &&
  node_modules/.bin/tsx -e "import('./interop-tests/container-engine.ts').then((it) => process.exit(it.containerEngine ? 0 : 1))"; then
  programs=(openssl)
fi
# Beside the machine's own: without them the tests of RabbitMQ 4 skip, and fail in CI.
[ "${#programs[@]}" -eq 1 ] || for suite in trixie forky; do scripts/rabbitmq-4.sh "$suite" || break; done
missing=()
for program in "${programs[@]}"; do
  command -v "$program" >/dev/null 2>&1 || missing+=("$program")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
  echo "servers: ${missing[*]} not found; install with: sudo apt-get install ${missing[*]} (or brew install redis rabbitmq)" >&2
  exit 0
fi
exec 9>"${TMPDIR:-/tmp}/celeriac-servers.lock"
command -v flock >/dev/null 2>&1 && flock 9
echo "servers: installing ${missing[*]}" >&2
# Run level 1 keeps the packages from starting servers of their own: each test starts one on a free port.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
  echo "servers: apt-get could not install ${missing[*]}" >&2
