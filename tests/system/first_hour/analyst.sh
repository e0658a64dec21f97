#!/bin/bash
# An analyst with a web server's log: from the log to alerts, with the mistakes that one makes on the way.
source "${BASH_SOURCE%/*}/steps.sh"
export PATH=$PWD/.venv/bin:$PATH

# The demo of README says at once what it does.
step 0 make demo
says '^\$ ipinsights simulate --users 2000' 'ROC AUC +0\.9' 'The scores are drawn in demo/scores.png'

# A log, and wrong ideas of it.
step 0 ipinsights simulate --users 60 -o traffic
log=traffic/access.log
step 2 ipinsights extract --format jsonl --entity user --ip address "$log" -o rows.csv
says 'None of the [0-9,]+ records is in the format jsonl' '--format'
step 2 ipinsights extract --format apache --status ok "$log" -o rows.csv
says '--status' "'ok'"
printf 'name,from\nann,192.0.2.7\n' > export.csv
step 2 ipinsights extract --format csv --no-timestamps --entity user --ip from export.csv
says "no column 'user'.*--entity" 'The columns are name, from'
sed 's/ user_[0-9]* / - /' "$log" > anonymous.log
step 2 ipinsights extract --format apache anonymous.log -o rows.csv
says 'most records name no entity.*--log-format.*--entity'
[[ ! -e rows.csv ]] || fail "rows.csv was written"

# Each command says what it found, and the next one. They are run as they are printed.
step 0 ipinsights extract --format apache --path '^/login$' --status 200,302 "$log" -o rows.csv
says 'Written: [0-9,]+ rows of 60 entities on 10 days, from 2018-11-04T' '^Next: ipinsights split rows.csv '
step 0 bash -c "$(next_command)"
says '^train.csv: [0-9,]+ rows .*60 entities, 7 days$' '^Next: ipinsights train --train data/train.csv --model-dir model$'
on_terminal 0 80 "$(next_command)"
says '^Sizes chosen from [0-9,]+ rows: -H num_entity_vectors=480 -H vector_dim=128 ' '^Rows +[0-9,]+ of 60 entities$' \
    '^Accuracy +0\.[0-9]+' '^Duration +[0-9.]+ s' '^Model +model/model_algo-1$' 'epoch 10/10 .* 100%'
says_nothing_of '#metrics|hyperparameter|INFO'
says '^Next: ipinsights threshold --model-dir model --calibration data/calibration.csv --fpr 0.01$'
on_terminal 0 200 "$(next_command)"
says '^Suspicious: score < ' 'Stored in model/threshold.json'
says '^Next: ipinsights score data/test.csv --model-dir model --only-suspicious --keep-columns$'
step 0 bash -c "$(next_command)"
says '^entity,ip,dot_product,entity_known,probability,p_value,verdict,column_3$' ',suspicious,2018-11-1'

# Sizes: one alone, and batches that are too large for so few rows.
step 2 ipinsights train --train data/train.csv --model-dir other -H vector_dim=16
says "'num_entity_vectors' is required and missing" '-H num_entity_vectors=auto$'
step 0 ipinsights train --train data/train.csv --model-dir other -H vector_dim=16 -H num_entity_vectors=auto -H epochs=2
says 'An epoch has [0-9]+ optimizer steps of mini_batch_size 10,000.*Lower mini_batch_size or raise epochs'
step 2 ipinsights train rows.csv
says '^Did you mean: ipinsights train --train rows.csv --model-dir model$'
step 2 ipinsights train --train rows.csv --model-dir other
says 'a row must have 2 columns' 'extract --format csv --no-timestamps FILE -o CLEAN.csv'
step 2 ipinsights split data/train.csv --at 2018-11-12 -o other
says 'a row must have 3 columns' 'extract --format csv FILE -o CLEAN.csv'
says_nothing_of '--no-timestamps'

# Tables and Parquet.
python -c "import pandas; pandas.read_csv('data/train.csv', names=['user', 'from']).to_parquet('t.parquet')"
step 2 ipinsights train --train t.parquet --model-dir other
says 'a Parquet file.*ipinsights extract --format parquet --no-timestamps'
step 0 ipinsights train --train t.parquet --entity user --ip from --model-dir other -H epochs=1

# Scores of a file with times, and of lines as they come.
step 2 ipinsights score rows.csv --model-dir model
says '--keep-columns'
step 0 ipinsights score rows.csv --model-dir model --keep-columns -o scores.csv
mkfifo lines
ipinsights extract --format nginx - < lines 2> extract.err |
    ipinsights score - --model-dir model --keep-columns --json-lines > alerts.jsonl 2> score.err &
exec 3> lines
head -1 "$log" >&3
wait_for alerts.jsonl '^\{"entity":"user_[0-9]+","ip":"[0-9.]+",.*"dot_product":'
exec 3>&-
wait

# Attacks: labelled ones lead the report, unlabelled ones are noticed.
evaluate="ipinsights evaluate --model-dir model --train data/train.csv --calibration data/calibration.csv"
step 0 $evaluate --test traffic/test.csv --report report
says 'Your labelled attacks' '^At 1 false alarm in 100 the model catches ' 'Written: report/report.html'
says_nothing_of 'Hint: unlabelled attacks'
[[ $(head -1 "$printed") == "The model catches "*" % of your labelled attacks and the best count "* ]] || fail "the first line"
cut -d, -f1,2 traffic/test.csv > unlabelled.csv
step 0 $evaluate --test unlabelled.csv
says 'Hint: unlabelled attacks\?'
on_terminal 0 80 "$evaluate --test data/test.csv"
[[ $(wc --max-line-length < "$printed") -le 80 ]] || fail "lines are wider than the terminal"

# IPv6 is counted, and a model with a history scores it.
sed '0~8s/^[0-9.]* /2a00:db8:&/; 0~8s/:\([0-9]*\)\.\([0-9]*\)\.[0-9]*\.[0-9]* /:\1:\2::1 /' "$log" > both.log
step 0 ipinsights extract --format apache both.log -o both.csv
says '[0-9,]+  IPv6, set aside$'
step 0 ipinsights extract --format apache --no-timestamps --ipv6 both.log -o both.csv
step 0 ipinsights train --train both.csv --model-dir both --keep-history --ipv6 -H epochs=1
step 0 ipinsights explain user_1 2a00:db8::1 --model-dir both --scorer history
says '^user_1 from 2a00:db8::1: score '
