#!/usr/bin/env bash
# The adapters of ten small runs as digests: what a change that means to alter no result must leave as it is.
#
#   tests/adapters/digests.sh [BIN_DIR] > after.txt && diff before.txt after.txt
#
# In:  coordinator and worker in BIN_DIR (target/release), the YAML files beside this script, models/tiny-law,
#      data/law_train.
# Out: a line `SHA256  NAME` per run on stdout, in the order of NAMES; everything else on stderr.
# Invariant: a run that fails, or does not do what its file covers, ends the script with an exit code other
#            than 0. Bytes are promised for one device class: compare digests of one machine.
set -euo pipefail

# The run `parent` goes on from `demo`.
readonly NAMES=(demo dora ia3 qlora fp16-with-overflow packed grouped patience parent pattern-ranks)
# Seconds that one run may take on a crowded machine.
readonly LIMIT=300

fail() {
  printf 'digests: error: %s\n' "$1" >&2
  exit "${2:-1}"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${1:-$root/target/release}
for program in coordinator worker; do
  [[ -x $bin/$program ]] || fail "no $bin/$program; run 'make build', or name the folder that has it" 2
done
bin=$(cd "$bin" && pwd)

# Paths in the YAML files are relative to the folder in which the coordinator is started.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ln -s "$root/data" "$root/models" .

train() {
  local name=$1 code=0
  timeout --foreground -k 30 "$LIMIT" "$bin/coordinator" up --config "$here/$name.yaml" --local-workers 2 \
    --listen 127.0.0.1:0 < /dev/null > "$name.log" 2>&1 || code=$?
  if ((code != 0)); then
    cat "$name.log" >&2
    fail "$name: exit code $code (124: it ran for more than $LIMIT seconds)" "$code"
  fi
}

adapter() { sha256sum "$1/adapter_model.safetensors" | cut -d ' ' -f 1; }
# The value of the first line `"KEY": VALUE` of a JSON file, or an error.
value() {
  local found
  found=$(sed -n "/^ *\"$1\": /{s/^[^:]*: \"\{0,1\}\([^\",]*\).*/\1/p;q;}" "$2")
  [[ -n $found ]] || fail "$2 has no $1"
  echo "$found"
}
# Step, whether it was skipped, and its loss scale, for every commit of a ledger.
commits() {
  sed -n 's/^{"kind":"commit","step":\([0-9]*\),.*"skipped":\([a-z]*\),.*"loss_scale":{"scale":\([0-9]*\),.*/\1 \2 \3/p' "$1"
}

# A step that overflows leaves the adapter of the checkpoint before and halves the scale; any other step does neither.
check_overflow() {
  local out=$1 step skipped scale now before='' expected='' overflows=0 applied=0
  while read -r step skipped scale; do
    [[ -z $expected || $scale == "$expected" ]] || fail "$out: loss scale $scale at step $step instead of $expected"
    now=$(adapter "$out/checkpoint-$step")
    if [[ $skipped == true ]]; then
      [[ -z $before || $now == "$before" ]] || fail "$out: step $step was skipped and changed the adapter"
      [[ -z $before ]] || overflows=$((overflows + 1))
      expected=$((scale / 2))
    else
      [[ $now != "$before" ]] || fail "$out: step $step was applied and left the adapter as it was"
      applied=$((applied + 1))
      expected=$scale
    fi
    before=$now
  done < <(commits "$out/ledger.jsonl")
  ((overflows > 0 && applied > 0)) || fail "$out: $overflows overflows after step 1, $applied steps applied"
}

# The run ended before its last step, and its result is the adapter of an earlier one.
check_patience() {
  local out=$1 best last total result
  best=$(value best_global_step "$out/trainer_state.json")
  last=$(value global_step "$out/trainer_state.json")
  total=$(sed -n 's/^max_steps: //p' "$here/patience.yaml")
  ((best < last && last < total)) || fail "$out: best step $best, ended at $last of $total"
  result=$(adapter "$out")
  [[ $result == "$(adapter "$out/checkpoint-$best")" ]] || fail "$out: the adapter is not that of step $best"
}

# The run names the state that `demo` ended in as its parent's.
check_parent() {
  local out=$1 state
  state=$(value state_digest output/demo/manifest.json)
  sed -n '/^  "parent": {/,/^  }/p' "$out/manifest.json" | grep -qF "\"$state\"" ||
    fail "$out: its manifest does not name the state of output/demo"
}

for name in "${NAMES[@]}"; do
  begun=$SECONDS
  train "$name"
  case $name in
    fp16-with-overflow) check_overflow "output/$name" ;;
    patience) check_patience "output/$name" ;;
    parent) check_parent "output/$name" ;;
  esac
  digest=$(adapter "output/$name")
  printf '%s: %d s\n' "$name" $((SECONDS - begun)) >&2
  printf '%s  %s\n' "$digest" "$name"
done
