#!/bin/bash
# A data scientist who works in Python: DataFrames, threads, scikit-learn, Parquet and the notebook.
source "${BASH_SOURCE%/*}/steps.sh"
python=$PWD/.venv/bin/python

# The package shows what it offers, and loads nothing for that.
step 0 "$python" -c '
import sys, ipinsights
assert not {"numpy", "pandas", "mxnet", "pyarrow"} & set(sys.modules), "a heavy import"
print(*dir(ipinsights))
'
says 'Callback.* IPInsights .*Threshold .*evaluate explain'

# From a DataFrame to alerts in a few statements, in a thread, with an index of its own.
cat > alerts.py <<'END'
import threading

import pandas as pd
from ipinsights import IPInsights, evaluate, simulate_logins

logins = simulate_logins(num_users=30, seed=1)
model = IPInsights(epochs=3, vector_dim=32, progress=False)
thread = threading.Thread(target=model.fit, args=(logins.train,))
thread.start()
thread.join()
model.calibrate(logins.validation, fpr=0.01)
pairs = logins.test[["entity", "ip"]].set_index(logins.test.index + 1000)
scores = model.score_samples(pairs)
assert isinstance(scores, pd.Series) and (scores.index == pairs.index).all()
assert model.score_samples([("user_1", "192.0.2.7")]).shape == (1,)
alerts = pairs[model.predict(pairs) == -1]
caught = logins.test["label"].to_numpy()[alerts.index - 1000].mean()
print(f"{len(alerts)} alerts, {caught:.0%} of them attacks")
print(model.explain(*alerts.iloc[0]).text())
print(evaluate(model, logins.train, logins.test, calibration=logins.validation).detection.head(3))
model.save("model")
assert (IPInsights.load("model").score_samples(pairs) == scores).all()
END
step 0 "$python" alerts.py
says '^[0-9]+ alerts, (9[0-9]|100)% of them attacks$' '^user_[0-9]+ from [0-9.]+: score -' 'attacker|metric'
says_nothing_of 'signal only works'

# What is wrong is said in the words of Python, with the row.
step 0 "$python" -c '
from ipinsights import IPInsights, RowsError
try:
    IPInsights().fit([("ann", "192.0.2.7"), ("bob", "192.0.2")])
except RowsError as error:
    print(error)
'
says "^row 1 of X: '192.0.2' is no IPv4 address"

# The model is that of the command line, also from Parquet with names of one's own.
step 0 "$python" -c '
from ipinsights import simulate_logins
simulate_logins(num_users=30, seed=1).test.to_parquet("test.parquet")
'
step 0 "$python" -m ipinsights score test.parquet --entity entity --ip ip --model-dir model --extended --keep-columns
says '^entity,ip,dot_product,entity_known,.*,label$' '^user_[0-9]+,.*,suspicious,1$'

# The notebook needs no activated environment and no shell.
step 0 "$python" -c '
import json
cells = json.load(open("docs/tutorial/ipinsights_login.ipynb"))["cells"]
code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
assert not any(line.startswith(("%", "!")) for cell in code for line in cell.splitlines())
open("notebook.py", "w").write("display = print\n" + "\n".join(code))
'
step 0 env PATH=/usr/bin:/bin "$python" notebook.py

# All pages name the same Pythons.
pages=(README.md CONTRIBUTING.md docs/tutorial/first-login.md Makefile)
for page in "${pages[@]}"; do
    tr '\n' ' ' < "$page" > "$printed"
    says '3\.10 to 3\.14'
done
