#!/usr/bin/env bash
# Runs what is too long for CI, within about so many minutes: soak.sh 60
# A quarter of them goes to the fuzz targets. Then come 2,000 swaps a hook under
# a flood and 1,000 kills, which may take up to half of the time. What is left
# goes to 1,000 kills of upgrades and 100 handovers, then to all tests, again and again, each time in another order: a round begins
# only if it ends in time, but for the first.
# SWAPS (of each of four sizes of chain), KILLS and TESTS (packages) change that.
set -euo pipefail
minutes=${1:-60}
targets=$(git grep -h '^func Fuzz' -- '*_test.go' | wc -l)
root=()
[ "$(id -u)" = 0 ] || root=(-exec "sudo -E")

test/fuzz.sh "$((minutes * 15 / targets))s"
echo "soak: swaps and kills"
RECONCILER_SWAPS=${SWAPS:-500} RECONCILER_KILLS=${KILLS:-1000} go test -count=1 -timeout "$((minutes * 30 + 120))s" \
	-run 'SwapsUnderFlood|KilledSwaps' "${root[@]}" ./internal/driver/chain ./cmd/reconciler
echo "soak: upgrades"
SOAK_KILLS=${KILLS:-1000} go test -count=1 -timeout 60m "${root[@]}" ./internal/driver/release
go test -count=5 -timeout 60m "${root[@]}" -run 'HandoversUnder|UpgradeByPush' ./cmd/reconciler
test/deps.sh guest
go run ./test/guest -cuts 20 -timeout 60m
rounds=0
round=0 # what the last one took, in seconds
while [ "$rounds" = 0 ] || [ $((SECONDS + round)) -lt $((minutes * 60)) ]; do
	before=$SECONDS
	# shellcheck disable=SC2086 # TESTS is a list
	go test -race -json -count=1 -shuffle=on -timeout 20m "${root[@]}" ${TESTS:-./...} | go run ./test/verdict
	round=$((SECONDS - before)) rounds=$((rounds + 1))
done
echo "soak: $rounds rounds of all tests, $((SECONDS / 60)) minutes in all"
