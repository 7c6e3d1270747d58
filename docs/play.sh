#!/usr/bin/env bash
# A playground: a bare Git repository, a network namespace, the daemon that
# follows the one in the other, and a shell to push from. It touches nothing
# of the host, and leaving the shell removes it. Called by `make play`.
set -euo pipefail
reconciler=$(readlink -f "${1:-bin/reconciler}")
dir=$(mktemp -d /tmp/reconciler-play.XXXXXX)
netns=play-$$
daemon=
leave() {
	[ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" || true; }
	ip netns delete "$netns" 2>/dev/null || true
	rm -rf "$dir"
}
trap leave EXIT

git init -q --bare -b main "$dir/edge.git"
git clone -q "$dir/edge.git" "$dir/edge" 2>/dev/null
cd "$dir/edge"
git config user.name player
git config user.email player@example.net
cat >net.yaml <<'YAML'
version: 1
interfaces:
  br0: {kind: bridge, addresses: [192.0.2.1/24], bridge: {ports: [p0]}}
  p0: {kind: veth, veth: {peer: p0-peer}}
  p0-peer: {addresses: [192.0.2.2/24]}
routes:
  - {to: 203.0.113.0/24, via: 192.0.2.254, dev: br0}
YAML
git add net.yaml
git commit -q -m "a bridge with one port"
git push -q origin main

ip netns add "$netns"
ip -n "$netns" link set lo up
export RECONCILER_NETNS=$netns RECONCILER_SOCKET=$dir/socket RECONCILER_STATE_DIR=$dir/state
"$reconciler" run --git "file://$dir/edge.git" --ref main --poll 1s --metrics "" >"$dir/log" 2>&1 &
daemon=$!
for _ in $(seq 50); do
	"$reconciler" status >/dev/null 2>&1 && break
	sleep 0.1
done
"$reconciler" status || { cat "$dir/log" >&2; exit 1; }

cat <<HELP

The daemon makes namespace $netns as $dir/edge.git says. Try:

  sed -i 's/192.0.2.1/192.0.2.9/' net.yaml && git commit -qam 'another address' && git push -q
  ip -n $netns -brief address              # live within a second or so
  ip -n $netns link set br0 down           # break it: it comes back
  reconciler status; reconciler history; reconciler events
  tail $dir/log

Leave the shell (exit) to remove it all.
HELP
export PATH="$(dirname "$reconciler"):$PATH"
"${SHELL:-bash}" || true
