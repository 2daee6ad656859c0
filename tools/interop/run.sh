#!/bin/sh
# Others' code beside ours, on loopback: a Tessera log whose checkpoints two of our witnesses cosign, one with Ed25519
# and one with ML-DSA-44; then a checkpoint and a proof of a witnessed log of ours under their verifier.
#
#   tools/interop/run.sh [SOULCHAIN]     the binary; by default target/release/soulchain
#
# Needs Go. Prints what was verified; ends with a failure if anything was not.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
soulchain=${1:-${CARGO_TARGET_DIR:-$here/../../target}/release/soulchain}
dir=$(mktemp -d)
pids=
stop() { for pid in $pids; do kill "$pid" 2>/dev/null || :; done; wait 2>/dev/null || :; rm -rf "$dir"; }
trap stop EXIT INT TERM
(cd "$here" && go build -o "$dir/interop" .)

# The value of a member of the JSON in a file, once it is there.
member() {
    for _ in $(seq 100); do
        found=$(sed -n 's/.*"'"$2"'": *\[\{0,1\} *"\([^"]*\)".*/\1/p' "$1" | head -n 1)
        [ -z "$found" ] && found=$(tr -d '\n' <"$1" | sed -n 's/.*"'"$2"'": *\[ *"\([^"]*\)".*/\1/p')
        [ -n "$found" ] && { echo "$found"; return; }
        sleep 0.1
    done
    echo "$1 never said $2" >&2
    return 1
}

"$dir/interop" log "$dir/tessera" >"$dir/tessera.vkey"
echo "log $(cat "$dir/tessera.vkey")" >"$dir/logs"
for witness in ed25519 ml-dsa-44; do
    "$soulchain" witness --json --keys $witness --name witness.example/$witness --data "$dir/$witness" \
        --listen 127.0.0.1:0 --logs "$dir/logs" >"$dir/$witness.json" 2>"$dir/$witness.log" &
    pids="$pids $!"
done
for witness in ed25519 ml-dsa-44; do
    echo "witness $witness $(member "$dir/$witness.json" vkeys) $(member "$dir/$witness.json" url)"
done >"$dir/witnesses"
printf 'group both all ed25519 ml-dsa-44\nquorum both\n' >>"$dir/witnesses"

echo "== a Tessera log with our witnesses"
cat "$dir/logs" "$dir/witnesses" >"$dir/tessera.policy"
"$dir/interop" log "$dir/tessera" "$dir/tessera.policy" 30

echo "== our log under their verifier"
"$soulchain" serve --origin soulchain.example/interop --data "$dir/log" --listen 127.0.0.1:18911 --ml-dsa \
    --policy "$dir/witnesses" 2>"$dir/log.log" &
pids="$pids $!"
export SOULCHAIN_NODE=http://127.0.0.1:18911 SOULCHAIN_KEYS="$dir/keys"
for _ in $(seq 100); do curl -sf "$SOULCHAIN_NODE/v1/log" >"$dir/log.json" && break || sleep 0.1; done
# Both keys of the log: what it signs with is in its own policy.
tr ',' '\n' <"$dir/log.json" | sed -n 's/.*"policy": *"\(.*\)".*/\1/p' | sed 's/\\n/\n/g' >"$dir/ours.policy"
grep '^log ' "$dir/ours.policy" >>"$dir/logs"
for _ in $(seq 200); do curl -s "$SOULCHAIN_NODE/checkpoint" | grep -q witness.example/ml && break || sleep 0.1; done
"$soulchain" agent register scout --unencrypted >"$dir/out"
"$soulchain" agent act scout search --witnessed >>"$dir/out"
curl -s "$SOULCHAIN_NODE/checkpoint" >"$dir/checkpoint"
"$dir/interop" checkpoint "$dir/ours.policy" "$dir/checkpoint"
"$soulchain" log proof --agent scout --seqno 2 --policy "$dir/ours.policy" --out "$dir/act.tlog-proof" >>"$dir/out"
index=$(sed -n 's/^index //p' "$dir/act.tlog-proof")
curl -s "$SOULCHAIN_NODE/v1/log/entries/$index" >"$dir/entry.json"
tr ',' '\n' <"$dir/entry.json" | sed -n 's/.*"entry": *"\(.*\)".*/\1/p' | base64 -d >"$dir/entry"
"$dir/interop" proof "$dir/ours.policy" "$dir/act.tlog-proof" "$dir/entry"

echo "== what must not hold"
if "$dir/interop" proof "$dir/ours.policy" "$dir/act.tlog-proof" "$dir/log.json" 2>"$dir/refused"; then
    echo "another entry passed" >&2
    exit 1
fi
cat "$dir/refused"
echo "all of it holds"
