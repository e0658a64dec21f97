"""Objects of S3, with moto's server in place of AWS, in an environment with s3fs.

The packages bound botocore.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
PROGRAM = """
import json, logging, os, shlex, socket, threading
os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
               "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
               "FSSPEC_S3": json.dumps({"default_block_size": 5 * 2**20})}
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel("ERROR")
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
address = server.get_host_and_port()

class Proxy:
    limit = None  # bytes of a connection to the server, after which it is cut
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()
    def accept(self):
        while True:
            client, upstream = self.socket.accept()[0], socket.create_connection(address)
            threading.Thread(target=self.copy, args=(client, upstream, True), daemon=True).start()
            threading.Thread(target=self.copy, args=(upstream, client, False), daemon=True).start()
    def copy(self, source, target, is_sent):
        sent = 0
        try:
            while piece := source.recv(2**16):
                sent += len(piece)
                if is_sent and self.limit is not None and sent > self.limit:
                    break
                target.sendall(piece)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()  # with what was not read, so that the other side does not wait

proxy = Proxy()
os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.socket.getsockname()[1]}"
import boto3
direct = boto3.client("s3", endpoint_url=f"http://{address[0]}:{address[1]}")
direct.create_bucket(Bucket="data")
import s3fs
s3fs.S3FileSystem.retries = 1
from ipinsights.testing import run_command

def put(key, body):
    direct.put_object(Bucket="data", Key=key, Body=body)

def get(key):
    return direct.get_object(Bucket="data", Key=key)["Body"].read()

def keys():
    return sorted(found["Key"] for found in direct.list_objects_v2(Bucket="data")["Contents"])

def run(*arguments):
    done = run_command(*arguments)
    return [done.returncode, done.stderr.replace(os.environ["TMPDIR"], "TMP")]

rows = "".join(f"user_{n % 9},10.{n % 9}.{n % 7}.{n % 250}\\n" for n in range(400)).encode()
for key in ("train/part-0.csv", "train/day=1/a", "train/day=1/a/b", "train/..x/what?*[1].csv"):
    put(key, rows)
for key in ("train/day=1/", "train/_SUCCESS", "train/year=1_$folder$"):
    put(key, b"")
results = {}
train = ("train", "--train", "s3://data/train/", "--quiet", "--no-progress", "-H", "epochs=1", "--model-dir")
small = ("-H", "vector_dim=4", "-H", "num_entity_vectors=20")
results["train"] = run(*train, "s3://data/model", *small)
results["score"] = run("score", "s3://data/train/*.csv", "--model-dir", "s3://data/model", "-o", "s3://data/scores.csv")
results["hostile"] = run("score", "s3://data/train/..x/what?*[1].csv", "--model-dir", "s3://data/model/model_algo-1",
                         "-o", "s3://data/same.csv")
results["same"] = get("scores.csv") == get("same.csv")
results["rows"] = len(get("scores.csv").splitlines())
results["object"] = run("score", "s3://data/none.csv", "--model-dir", "s3://data/model")
results["bucket"] = run(*train, "s3://missing/model", *small)
old = get("model/model_algo-1")

direct.create_bucket(Bucket="bucket")
trail = {"userIdentity": {"arn": "ann"}, "sourceIPAddress": "192.0.2.7", "eventTime": "2024-05-01T08:15:01Z"}
for key, body in (("AWSLogs/a.json", json.dumps({"Records": [trail]}).encode()), ("train/a.csv", rows),
                  ("day=1/part-0.csv", rows), ("new.csv", rows)):
    direct.put_object(Bucket="bucket", Key=key, Body=body, ACL="public-read")
commands = COMMANDS.replace("s3://BUCKET", "s3://bucket").replace("https://example.org", f"http://{address[0]}:{address[1]}/bucket")
for line in commands.splitlines():
    program, *words = shlex.split(line)
    if program == "ipinsights":
        more = ["-H", "epochs=1", "--quiet"] if words[0] == "train" else []
        results["page " + words[0]] = run(*words, *more)
names = {}
exec(CODE.replace("s3://BUCKET", "s3://bucket"), names)
results["page python"] = len(names["scores"])
proxy.limit = 2**20
results["one part"] = run(*train, "s3://data/model", "-H", "vector_dim=4", "-H", "num_entity_vectors=200000")
results["several parts"] = run(*train, "s3://data/model", "-H", "vector_dim=16", "-H", "num_entity_vectors=200000")
proxy.limit = None
results["is old"] = get("model/model_algo-1") == old
results["keys"] = keys()
results["large"] = run(*train, "s3://data/model", "-H", "vector_dim=16", "-H", "num_entity_vectors=200000")
results["is new"] = len(get("model/model_algo-1")) > 12_000_000
del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
s3fs.S3FileSystem.clear_instance_cache()
results["credentials"] = run("score", "s3://data/train", "--model-dir", "s3://data/model")
print(json.dumps(results), flush=True)
os._exit(0)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what commands did with objects of S3."""
    folder = tmp_path_factory.mktemp("s3")
    python = folder / "env" / "bin" / "python"
    subprocess.run([*UV, "venv", "--python", sys.executable, folder / "env"], check=True)
    subprocess.run([*UV, "pip", "install", "--python", python, "moto[server,s3]", "s3fs"], check=True)
    own = [sysconfig.get_path("purelib"), str(ROOT)]
    page = (ROOT / "docs" / "how-to" / "remote-files.md").read_text(encoding="utf-8")
    commands, code = re.findall(r"^```(?:sh|python)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    head = f"import sys\nsys.path += {own!r}\nCOMMANDS, CODE = {commands!r}, {code!r}\n"
    (folder / "run.py").write_text(head + PROGRAM)
    (folder / "tmp").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL", "AWS"))}
    done = subprocess.run(
        [python, "run.py"], cwd=folder, env={**kept, "TMPDIR": str(folder / "tmp")}, capture_output=True, text=True,
        check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.long
class TestS3:
    """Commands on objects."""

    def test_a_model_is_trained_and_scores(self, results: dict[str, Any]) -> None:
        """Folders with markers, patterns and objects whose names are patterns are read."""
        assert results["train"] == [0, ""]
        assert results["score"] == [0, ""]
        assert results["hostile"] == [0, ""]
        assert (results["same"], results["rows"]) == (True, 401)

    def test_the_page_runs(self, results: dict[str, Any]) -> None:
        """The commands and the program of the page work on a bucket."""
        for command in ("extract", "train", "threshold", "score"):
            code, _ = results[f"page {command}"]
            assert code == 0, results[f"page {command}"]
        assert results["page python"] == 400

    def test_what_is_not_there_is_told(self, results: dict[str, Any]) -> None:
        """A missing bucket is noticed before the work, not after it."""
        assert results["object"] == [2, "ClientError: There is no file or folder s3://data/none.csv.\n"]
        assert results["bucket"] == [2, "ClientError: There is no file or folder s3://missing/model.\n"]
        assert results["credentials"] == [
            2, "ClientError: s3://data/model cannot be read: Unable to locate credentials.\n",
        ]  # fmt: skip

    @pytest.mark.parametrize("name", ["one part", "several parts"])
    def test_an_interrupted_upload_leaves_the_old_model(self, results: dict[str, Any], name: str) -> None:
        """Whether a model has one part or several.

        Nothing else is left in the bucket, and the new file is kept.
        """
        code, message = results[name]
        assert code == 2
        assert message.startswith("ClientError: s3://data/model cannot be written: ")
        assert " What was to be written is kept in TMP/ipinsights-" in message
        assert results["is old"] is True
        assert results["keys"] == sorted(
            ["model/model_algo-1", "same.csv", "scores.csv", "train/..x/what?*[1].csv", "train/_SUCCESS",
             "train/day=1/", "train/day=1/a", "train/day=1/a/b", "train/part-0.csv", "train/year=1_$folder$"]
        )  # fmt: skip

    def test_a_large_model_is_sent_in_parts(self, results: dict[str, Any]) -> None:
        """It replaces the old one when all parts are there."""
        assert results["large"] == [0, ""]
        assert results["is new"] is True
