#!/usr/bin/env bash
# Lays the RabbitMQ of a newer Debian beside this machine's, for tests against RabbitMQ 4.x: nothing is installed and no
# root is needed.
#
#   scripts/rabbitmq-4.sh trixie    RabbitMQ 4.0 in .servers/rabbitmq-trixie, started by bin/rabbitmq-server there
#   scripts/rabbitmq-4.sh forky     RabbitMQ 4.3
#
# apt fetches the packages with folders of its own, from the mirror that this machine has its Debian from or else from the
# public one, and checks their signatures; Erlang then runs with the C library that came with it. Quick when it is there
# already, and safe to call from several processes at once.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${1:?which suite of Debian: trixie or forky}
public=http://deb.debian.org/debian
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
folder=$PWD/.servers/rabbitmq-$suite

fail() {
  echo "rabbitmq-4: $*" >&2
  exit 1
}

# Those that apt is told to have Debian from, then the public one. One that has no such suite, signed by Debian, is passed
# over: a source of somebody else's may use Debian's names.
mirrors() {
  local codename
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME") || codename=none
  {
    apt-get update --print-uris 2>/dev/null |
      sed -nE "s#^'(.*)/dists/($codename|oldstable|stable|testing|sid)/InRelease'.*#\1#p" || true
    echo "$public"
  } | awk '!seen[$0]++'
}

mkdir -p "$folder"
exec 9>"$folder.lock"
command -v flock >/dev/null 2>&1 && flock 9
# Its paths are absolute: a folder that was moved is laid anew.
[ "$(cat "$folder/complete" 2>/dev/null)" != "$folder" ] || exit 0

for program in apt-get dpkg-deb; do
  command -v "$program" >/dev/null 2>&1 || fail "no $program on this machine: RabbitMQ 4 comes from Debian's packages"
done
[ -r "$keyring" ] || fail "no $keyring (of the package debian-archive-keyring) to check Debian's signatures with"
echo "rabbitmq-4: fetching the RabbitMQ of Debian $suite" >&2

mirrors=$(mirrors)
rm -rf "$folder"
mkdir -p "$folder"/{apt/lists/partial,packages/partial,bin}
touch "$folder/apt/status"
cat >"$folder/apt/apt.conf" <<CONF
Dir::Etc::SourceList "$folder/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::PreferencesParts "-";
Dir::State "$folder/apt";
Dir::State::Status "$folder/apt/status";
Dir::Cache "$folder/apt";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "$(id -un)";
Acquire::Retries "3";
CONF
export APT_CONFIG=$folder/apt/apt.conf
log=$folder/apt/log

found=
for mirror in $mirrors; do
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$folder/apt/sources.list"
  if apt-get update -qq >"$log" 2>&1; then
    found=$mirror
    break
  fi
done
[ -n "$found" ] || fail "$(cat "$log")"
# What Erlang is linked to is among the libraries; the tools that the package scripts want are not needed.
packages=$(apt-get install --simulate rabbitmq-server 2>"$log" |
  sed -nE '/^Inst libpython/d; s/^Inst (rabbitmq-server|erlang-[^ ]+|lib[^ ]+|zlib1g) .*/\1/p') || fail "$(cat "$log")"
# shellcheck disable=SC2086
(cd "$folder/packages" && apt-get download -qq $packages) >"$log" 2>&1 || fail "$(cat "$log")"
for package in "$folder"/packages/*.deb; do
  dpkg-deb -x "$package" "$folder" || fail "$package cannot be unpacked"
done

erlang=$folder/usr/lib/erlang
loader=$(find "$folder/usr/lib" -name 'ld-linux*.so.*' | head -n 1)
[ -n "$loader" ] || fail "libc6 of $suite has no loader"
grep -rlI /usr/lib/erlang "$erlang"/bin "$erlang"/erts-*/bin "$erlang/releases" |
  xargs sed -i "s#/usr/lib/erlang#$erlang#g"
# Each program of Erlang's is started by the loader of its own C library; this machine's may be older.
find "$erlang" -type f -perm -100 ! -name '*.so' | while read -r program; do
  [ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
  mv "$program" "$program.elf"
  printf '#!/bin/sh\nexec "%s" --library-path "%s" --argv0 "$0" "%s" "$@"\n' \
    "$loader" "${loader%/*}" "$program.elf" >"$program"
  chmod +x "$program"
done
for program in rabbitmq-server rabbitmqctl epmd; do
  target=$folder/usr/lib/rabbitmq/bin/$program
  [ -e "$target" ] || target=$folder/usr/bin/$program
  printf '#!/bin/sh\nPATH="%s:$PATH"\nexec "%s" "$@"\n' "$folder/usr/bin" "$target" >"$folder/bin/$program"
  chmod +x "$folder/bin/$program"
done
PATH="$folder/usr/bin:$PATH" erl -noshell -eval 'crypto:info_lib(), halt().' >"$log" 2>&1 ||
  fail "its Erlang does not run: $(cat "$log")"
rm -rf "$folder/packages" "$folder/apt" "$folder/usr/share"
echo "$folder" >"$folder/complete"
