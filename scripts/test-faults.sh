#!/usr/bin/env bash
# Faults of the disk and of the power: `npm run test:faults` in about three minutes, `npm run test:faults -- --full` many more
# in about an hour. What a failure prints as its seed repeats it: `npm run test:faults -- --seed=<seed>`. Other words go to vitest.
set -euo pipefail
cd "$(dirname "$0")/.."
words=()
for word in "$@"; do
  case $word in
    --full) export ATEDGE_FAULTS=full ;;
    --seed=*) export ATEDGE_FAULTS_SEED=${word#--seed=} ;;
    *) words+=("$word") ;;
  esac
done
exec npx vitest run --config vitest.faults.config.ts "${words[@]}"
