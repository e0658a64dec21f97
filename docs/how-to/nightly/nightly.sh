#!/bin/bash
# Train a model on the logins up to a day, and put the model into use unless it is worse than the one in use.
#
#   nightly.sh [LOG [DAY]]    by default yesterday's log of nginx
#
# Exit code 0: the new model is in use. 1: it is worse, and the old one stays. 2: data or settings are wrong.
set -euo pipefail

log=${1:-/var/log/nginx/access.log.1}
day=${2:-$(date --utc --date yesterday +%F)}
days_kept=${DAYS_KEPT:-30}
days_held_out=${DAYS_HELD_OUT:-1}
models_kept=${MODELS_KEPT:-7}
false_alarms=${FALSE_ALARMS:-0.01}
[[ $log == /* || $log == *://* ]] || log=$PWD/$log
cd "${IPINSIGHTS_HOME:-/var/lib/ipinsights}"

# One run at a time.
exec 9> lock
flock --nonblock 9
mkdir -p rows runs models

# Only a model that is not in use is trained again.
if [[ "$(readlink current || true)" == "models/$day" ]]; then
    echo "The model of $day is in use already."
    exit
fi

# The logins of the day, next to those of the days before. Older days are removed.
ipinsights extract --format apache --path '^/login$' --status 200,302 "$log" -o "rows/$day.csv"
find rows -name '*.csv' | sort | head --lines "-$days_kept" | xargs --no-run-if-empty rm

# The last days measure the model and set the threshold. Everything before them is trained on.
ipinsights split rows --at "$(date --utc --date "$day - $((days_held_out - 1)) days" +%F)" -o work
ipinsights train --train work/train.csv --validation work/test.csv --model-dir "models/$day" > "runs/$day.log"
ipinsights threshold --model-dir "models/$day" --calibration work/test.csv --fpr "$false_alarms"

# Sizes follow from the data and change with them, so that only the validation AUC can be compared.
if [[ -e current ]]; then
    ipinsights compare "runs/$(basename "$(readlink current)").log" "runs/$day.log" \
        --tolerance "auc=${AUC_TOLERANCE:-0.01}" --ignore accuracy --ignore cross_entropy
fi

# Model and threshold change together: the endpoint sees the old pair or the new one.
ln --symbolic --force --no-dereference "models/$day" next
mv --no-target-directory next current
find models -mindepth 1 -maxdepth 1 -not -path "models/$day" | sort | head --lines "-$((models_kept - 1))" \
    | xargs --no-run-if-empty rm -r
