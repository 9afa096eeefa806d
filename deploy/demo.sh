#!/usr/bin/env bash
# The demo: one question before, a training on this machine, the same question after.
#
# In:  the built programs, configs/quickstart.yaml, models/tiny-law, data/law_train.
# Out: the adapter in output/quickstart, and both answers on stdout.
# Invariant: a step that fails ends the demo with that step's exit code.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BIN=target/release
readonly BASE=models/tiny-law
readonly ADAPTER=output/quickstart
readonly QUESTION=${QUESTION:-公司一直拖欠工资，我该怎么办？}

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
