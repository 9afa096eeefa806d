#!/usr/bin/env bash
# The demo: one question before, a training on this machine, the same question after.
#
# In:  the built programs, configs/quickstart.yaml, models/tiny-law, data/law_train.
#      QUESTION, when it is set, is asked in place of the demo's own.
# Out: the adapter in output/quickstart, and both answers on stdout.
# Invariant: a step that fails ends the demo with that step's exit code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=target/release
readonly BASE=models/tiny-law
readonly ADAPTER=output/quickstart
# For how many years at most can a lease be signed? The training data ask it in slightly other words.
readonly OURS=租房合同最多可以签多少年？
readonly QUESTION=${QUESTION:-$OURS}

title() { printf '\n== %s\n' "$*"; }
ask() { "$BIN/worker" generate --base "$BASE" --prompt "$QUESTION" --max-new-tokens 80 "$@"; }

for needed in "$BIN/coordinator" "$BIN/worker" "$BASE/model.safetensors" configs/quickstart.yaml; do
  if [[ ! -e $needed ]]; then
    echo "demo: error: no $needed; run 'make build' in the folder of this clone first" >&2
    exit 2
  fi
done

title "The base model, before"
before=$(ask)
printf 'Question: %s\nAnswer:   %s\n' "$QUESTION" "$before"

title "Training a LoRA adapter with one coordinator and two workers"
"$BIN/coordinator" up --config configs/quickstart.yaml --local-workers 2 --overwrite

title "The adapter"
ls -l "$ADAPTER"

title "The same question, before and after"
after=$(ask --adapter "$ADAPTER")
printf 'Question: %s\nBefore:   %s\nAfter:    %s\n' "$QUESTION" "$before" "$after"
if [[ $QUESTION == "$OURS" ]]; then
  printf '\nThe same question in the training data, in slightly other words:\n'
  grep -B 1 '租赁期限不得超过' data/law_train/train.txt
fi
