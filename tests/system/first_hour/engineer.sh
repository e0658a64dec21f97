#!/bin/bash
# An engineer who leaves SageMaker with hyperparameters, channels, clients and a habit of regular expressions.
source "${BASH_SOURCE%/*}/steps.sh"
export PATH=$PWD/.venv/bin:$PATH

# README says on its first screen that a model of AWS's container cannot be read, and there is a page.
head -30 README.md > "$printed"
says 'AWS' 'coming-from-sagemaker'
[[ -f docs/how-to/coming-from-sagemaker.md ]] || fail "there is no page"

# A model of AWS's container is refused by what it is.
mkdir -p foreign
printf 'params' > foreign/model-0000.params
tar --create --gzip --file foreign/model.tar.gz --directory foreign model-0000.params
step 2 ipinsights inspect foreign/model.tar.gz
says "A model that AWS's container trained cannot be read"

# The container's tree: hyperparameters as texts, channels, regular expressions of metrics, the failure file.
step 0 ipinsights simulate --users 30 --no-access-log -o traffic
mkdir -p ml/input/config ml/input/data/train ml/input/data/validation
cp traffic/train.csv ml/input/data/train/
cp traffic/validation.csv ml/input/data/validation/
echo '{"num_entity_vectors": "60", "epochs": "2"}' > ml/input/config/hyperparameters.json
step 2 ipinsights train --base-dir ml
says "^ClientError: .*'vector_dim' is required and missing"
says_nothing_of '=auto'
grep --quiet "^ClientError: Hyperparameter 'vector_dim'" ml/output/failure || fail "the failure file"
echo '{"num_entity_vectors": "60", "vector_dim": "16", "epochs": "2", "mini_batch_size": "100"}' \
    > ml/input/config/hyperparameters.json
step 0 ipinsights train --base-dir ml
says '#quality_metric: host=algo-1, epoch=1, validation discriminator_auc <score>=[0-9.]+' '^#metrics \{'
cp "$printed" ours.log

# The same map and channels without the tree, and a comparison of both logs.
step 0 ipinsights train --hyperparameters ml/input/config/hyperparameters.json --train ml/input/data/train \
    --validation ml/input/data/validation --model-dir model
cp "$printed" again.log
step 0 ipinsights compare ours.log again.log --ignore throughput
says '^OK: again.log is not worse than ours.log'
step 0 ipinsights compare ours.log again.log --ignore throughput --json runs.json
says '^warning: --json is now --json-file'

# The endpoint, with a metrics port and an access log.
ipinsights serve --model-dir model --port 0 --workers 1 --metrics-port 0 --access-log access.jsonl > serve.log 2>&1 &
server=$!
trap 'kill $server; rm -f "$printed"' EXIT
wait_for serve.log 'Listening at: '
wait_for serve.log 'Metrics at: '
endpoint=$(sed -n 's/.*Listening at: \(http:[^ ]*\).*/\1/p' serve.log)
metrics=$(sed -n 's/.*Metrics at: \(http:[^ ]*\).*/\1/p' serve.log)

step 0 curl --silent --show-error --head "$endpoint/ping"
says '^HTTP/1.1 200'
csv=(curl --silent --show-error --include --header 'Content-Type: text/csv' --header 'X-Request-Id: mine-1')
step 0 "${csv[@]}" --data-binary 'user_1,192.0.2.7' "$endpoint/invocations"
says '^HTTP/1.1 200' '^X-Amzn-RequestId: mine-1' '\{"predictions": \[\{"dot_product": -?[0-9.]+\}\]\}'
step 0 "${csv[@]}" --data-binary 'user_1' "$endpoint/invocations"
says '^HTTP/1.1 400' 'a row must have 2 columns'
wait_for serve.log 'Refused a request to /invocations with 400: a row is not valid\.'
wait_for access.jsonl '"request_id":"mine-1","route":"/invocations","status":400'
step 0 curl --silent --show-error "$metrics"
says '^ipinsights_requests_total\{.*status="400".*\} 1'

# boto3 as it is, pointed to the endpoint by the environment.
export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=$endpoint
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
step 0 python -c '
import boto3
runtime = boto3.client("sagemaker-runtime")
print(runtime.invoke_endpoint(EndpointName="ipinsights", ContentType="text/csv", Body="user_1,192.0.2.7")["Body"].read())
'
says 'predictions.*dot_product'

# Batch transform.
printf 'user_1,192.0.2.7\nuser_2,192.0.2.8\n' > monday.csv
step 0 ipinsights transform monday.csv --model-dir model -o scores
[[ $(wc --lines < scores/monday.csv.out) == 2 ]] || fail "two lines"
