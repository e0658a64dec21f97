"""Operation: metrics, access log, request ids, probes, and the page's configuration files."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from .running_server import Running, make_model
from .waiting import is_true_soon

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = Path(__file__).parents[2] / "docs" / "how-to" / "operate"
PAIR = b"secret_name,192.168.1.2\n"


class Server(Running):
    """A running server of two workers, with metrics and an access log in its folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.access_log = folder / "access.log"
        own = ("--workers", "2", "--metrics-port", "0", "--access-log", str(self.access_log))
        super().__init__(make_model(folder / "model"), folder / "log", *own, *options)
        self.metrics_port = self.port_after("Metrics at")

    def scrape(self) -> dict[str, float]:
        """Return all exported samples, by their names with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=60) as response:
            families = text_string_to_metric_families(response.read().decode())
        return {
            sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def requests(self) -> dict[str, float]:
        """Return the counts of requests that are not 0."""
        prefix = "ipinsights_requests_total "
        return {name.removeprefix(prefix): n for name, n in self.scrape().items() if name.startswith(prefix) and n}

    def lines(self) -> list[dict[str, str | int | float]]:
        """Return the lines of the access log."""
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that tests share."""
    with Server(tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server for one test, which kills, reloads or ends it."""
    with Server(tmp_path) as server:
        yield server


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language."""
    page = (FILES.parent / "operate-an-endpoint.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_page_starts_a_server(tmp_path: Path) -> None:
    """The first command starts a server.

    The server loads the model that the commands of a later block rename.
    """
    command, swap, _ = blocks("sh")
    words = command.replace("9090", "0").replace(" access.log", f" {tmp_path / 'access.log'}").split()
    assert words[:4] == ["ipinsights", "serve", "--model-dir", "model"]
    make_model(tmp_path / "new", seed=1)
    with Server(tmp_path, *words[4:]) as server:
        status, _, before = server.request("POST", "/invocations", PAIR)
        assert status == 200
        subprocess.run(["bash", "-ec", swap], cwd=tmp_path, check=True)
        assert is_true_soon(lambda: server.request("POST", "/invocations", PAIR)[2] != before)
        assert server.scrape()["ipinsights_model_loads_total outcome=success"] == 2
        assert is_true_soon(lambda: len(server.lines()) >= 2)


class TestMetrics:
    """Metrics over HTTP."""

    def test_what_is_counted(self, shared: Server) -> None:
        """Every request is counted by route and status, with its rows and bytes."""
        before = shared.scrape()
        assert shared.request("POST", "/invocations", PAIR * 3)[0] == 200
        status, _, answer = shared.request("POST", "/invocations", b"wrong")
        assert status == 400
        assert shared.request("POST", "/endpoints/any/invocations", PAIR)[0] == 200
        assert shared.request("GET", "/ping")[0] == 200
        assert shared.request("GET", "/livez")[0] == 200
        assert shared.request("GET", "/users/secret_name")[0] == 404
        expected = {
            "ipinsights_requests_total route=/invocations status=200": 2,
            "ipinsights_requests_total route=/invocations status=400": 1,
            "ipinsights_requests_total route=/ping status=200": 1,
            "ipinsights_requests_total route=/livez status=200": 1,
            "ipinsights_requests_total route=other status=404": 1,
            "ipinsights_rows_total": 4,
            "ipinsights_received_bytes_total": len(PAIR) * 4 + len(b"wrong"),
            "ipinsights_request_seconds_count route=/invocations": 3,
        }

        def counted() -> dict[str, float]:
            samples = shared.scrape()
            return {name: samples.get(name, 0) - before.get(name, 0) for name in expected}

        assert is_true_soon(lambda: counted() == expected), counted()
        after = shared.scrape()
        assert after["ipinsights_sent_bytes_total"] - before["ipinsights_sent_bytes_total"] > len(answer)
        assert after["ipinsights_model_loads_total outcome=success"] == 1

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET /ping HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
            (b"POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: other\r\n\r\n", 501),
            (b"POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", 400),
        ],
    )
    def test_what_is_no_request_is_counted(self, shared: Server, sent: bytes, status: int) -> None:
        """A head that the parser refuses is counted once, and logged without what was sent."""
        name = f"ipinsights_requests_total route=other status={status}"
        before, num_lines = shared.scrape().get(name, 0), len(shared.lines())
        with socket.create_connection(("127.0.0.1", shared.port), timeout=60) as client:
            client.sendall(sent)
            assert client.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())
        assert is_true_soon(lambda: shared.scrape().get(name, 0) == before + 1)
        assert shared.scrape()["ipinsights_requests_in_flight route=other"] == 0
        last = shared.lines()[num_lines:]
        assert [(line["route"], line["status"], line["rows"]) for line in last] == [("other", status, 0)]

    def test_a_malformed_body_is_counted_once(self, shared: Server) -> None:
        """A chunk without a size ends a request that the application has begun to read."""
        name = "ipinsights_requests_total route=/invocations status=400"
        before, total = shared.scrape().get(name, 0), sum(shared.requests().values())
        head = b"POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        with socket.create_connection(("127.0.0.1", shared.port), timeout=60) as client:
            client.sendall(head)
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"no size\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 400 ")
        assert is_true_soon(lambda: shared.scrape().get(name, 0) == before + 1)
        assert sum(shared.requests().values()) == total + 1

    def test_killed_worker(self, server: Server) -> None:
        """After a worker is killed, the counts equal the client's own, and nothing is in flight."""
        lost = 0
        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                statuses = Counter(pool.map(lambda _: server.request("POST", "/invocations", PAIR)[0], range(100)))
            assert statuses == {200: 100}
            victim = server.workers()[-1]
            os.kill(victim, signal.SIGKILL)
            assert is_true_soon(lambda victim: server.workers()[-1] != victim, victim)
            while True:
                try:
                    server.request("GET", "/livez")
                    break
                except (OSError, http.client.HTTPException):
                    lost += 1
        assert is_true_soon(lambda: server.requests()["route=/invocations status=200"] == 300), server.requests()
        samples = server.scrape()
        assert samples["ipinsights_rows_total"] == 300
        in_flight = {name: value for name, value in samples.items() if "in_flight" in name}
        assert len(in_flight) == 5
        assert set(in_flight.values()) == {0}

    @pytest.mark.slow
    def test_in_flight_of_a_killed_worker(self, server: Server) -> None:
        """Requests that a killed worker had in flight are not in flight any more."""
        waiting = []
        for _ in range(20):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.putrequest("POST", "/invocations")
            connection.putheader("Content-Length", "100")
            connection.endheaders()
            waiting.append(connection)
        assert is_true_soon(lambda: server.scrape()["ipinsights_requests_in_flight route=/invocations"] == 20)
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        assert is_true_soon(lambda: server.scrape()["ipinsights_requests_in_flight route=/invocations"] == 0)
        for connection in waiting:
            connection.close()

    @pytest.mark.slow
    def test_new_model(self, server: Server) -> None:
        """Loads are counted, and the counts of the workers that a reload replaced stay."""
        assert server.request("POST", "/invocations", PAIR)[0] == 200
        server.process.send_signal(signal.SIGHUP)
        assert is_true_soon(lambda: server.scrape()["ipinsights_model_loads_total outcome=success"] == 2)
        assert is_true_soon(lambda: len(server.workers()) == 4)
        assert server.request("POST", "/invocations", PAIR)[0] == 200
        assert is_true_soon(lambda: server.requests()["route=/invocations status=200"] == 2)

    @pytest.mark.slow
    def test_end(self, server: Server) -> None:
        """With the server its metrics end, and their files are removed."""
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in children]
        (folder,) = [Path(word) for words in commands for word in words if "ipinsights-metrics-" in word]
        assert folder.exists()
        server.process.terminate()
        assert server.process.wait(timeout=60) == 0
        assert is_true_soon(lambda: not folder.exists())


class TestAccessLog:
    """The access log of a server."""

    def test_lines(self, shared: Server) -> None:
        """Each request has a line, without a byte of what was sent."""
        before = len(shared.lines())
        shared.request("POST", "/invocations", PAIR * 2, {"X-Request-Id": "order-17"})
        shared.request("POST", "/invocations", b"secret_name,secret_address", {"X-Request-Id": "order-18"})
        shared.request("GET", "/users/secret_name?ip=192.168.1.2", headers={"X-Request-Id": "order-19"})
        assert is_true_soon(lambda: len(shared.lines()) == before + 3)
        lines = sorted(shared.lines()[before:], key=lambda line: line["request_id"])
        shown = [
            (line["request_id"], line["route"], line["status"], line["rows"], line["bytes_received"]) for line in lines
        ]
        assert shown == [
            ("order-17", "/invocations", 200, 2, 2 * len(PAIR)),
            ("order-18", "/invocations", 400, 0, 26),
            ("order-19", "other", 404, 0, 0),
        ]
        for text in ("secret_name", "secret_address", "192.168", "127.0.0.1"):
            assert text not in shared.access_log.read_text()
        assert "secret" not in shared.log.read_text()

    def test_the_page_shows_a_line(self, shared: Server) -> None:
        """The line on the page has the keys of a line of the server, in their order."""
        before = len(shared.lines())
        shared.request("POST", "/invocations", PAIR)
        assert is_true_soon(lambda: len(shared.lines()) == before + 1)
        (shown,) = blocks("json")
        assert list(json.loads(shown)) == list(shared.lines()[-1])

    def test_request_ids(self, shared: Server) -> None:
        """A valid id is returned and logged, otherwise a new one."""
        before = len(shared.lines())
        for sent in ({"X-Amzn-RequestId": "a.b_c-1"}, {"X-Request-Id": "x" * 128}):
            _, headers, _ = shared.request("GET", "/ping", headers=sent)
            assert headers["x-amzn-requestid"] == next(iter(sent.values()))
        ids = [shared.request("GET", "/ping", headers={"X-Request-Id": "x" * 129})[1]["x-amzn-requestid"]]
        ids.append(shared.request("GET", "/missing")[1]["x-amzn-requestid"])
        assert len(set(ids)) == 2
        assert all(re.fullmatch(r"[0-9a-f-]{36}", name) for name in ids)
        assert is_true_soon(lambda: len(shared.lines()) == before + 4)
        assert {line["request_id"] for line in shared.lines()[before:]} == {"a.b_c-1", "x" * 128, *ids}

    @pytest.mark.slow
    def test_rotation(self, server: Server, tmp_path: Path) -> None:
        """With the page's logrotate configuration, all workers write to the new file.

        This includes workers that were forked before the rotation.
        """
        if not shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin"):
            pytest.skip("logrotate is not installed")
        text = (FILES / "logrotate.conf").read_text()
        for old, new in (
            ("/var/log/ipinsights/access.log", str(server.access_log)),
            ("    su ipinsights ipinsights\n", ""),
            ("systemctl kill --kill-whom=main --signal=USR1 ipinsights", f"kill -USR1 {server.process.pid}"),
        ):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "logrotate.conf").write_text(text)
        (tmp_path / "logrotate.conf").chmod(0o600)
        tmp_path.chmod(0o700)
        server.request("GET", "/ping")
        assert is_true_soon(lambda: len(server.lines()) == 1)
        command: list[str | Path] = ["logrotate", "--force", "--state", tmp_path / "state", tmp_path / "logrotate.conf"]
        subprocess.run(command, check=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"})
        assert is_true_soon(server.access_log.exists)
        assert is_true_soon(lambda: all(str(server.access_log) in open_files(pid) for pid in server.workers()))
        for _ in range(20):
            server.request("GET", "/ping")
        server.process.send_signal(signal.SIGHUP)
        assert is_true_soon(lambda: len(server.workers()) == 4)
        for _ in range(20):
            server.request("GET", "/ping")
        assert is_true_soon(lambda: len(server.lines()) == 40)
        assert server.access_log.with_name("access.log.1").read_text().count("\n") == 1


class TestProbes:
    """Readiness and liveness."""

    @pytest.mark.parametrize("path", ["/ping", "/livez"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_probes(self, shared: Server, method: str, path: str) -> None:
        """Both probes answer 200 without a body."""
        status, _, body = shared.request(method, path)
        assert (status, body) == (200, b"")


class TestFiles:
    """The files that the page shows."""

    @pytest.mark.parametrize("name", ["kubernetes.yaml", "alerts.yaml"])
    def test_yaml(self, name: str) -> None:
        """The file is YAML, without a key that stands twice in a map."""
        for document in yaml.compose_all((FILES / name).read_text()):
            assert document is not None
            unique_keys(document)

    def test_the_page_scrapes_its_own_port(self) -> None:
        """Prometheus is given the port of the page's first command, and the job name of the alerts."""
        (text,) = blocks("yaml")
        (job,) = yaml.safe_load(text)["scrape_configs"]
        port = blocks("sh")[0].partition("--metrics-port ")[2].split()[0]
        assert job["static_configs"] == [{"targets": [f"127.0.0.1:{port}"]}]
        assert f'job="{job["job_name"]}"' in (FILES / "alerts.yaml").read_text(encoding="utf-8")

    def test_alerts(self, shared: Server) -> None:
        """Every metric and label value of an alert is one that the server exports."""
        samples = shared.scrape()
        names = {name.split()[0] for name in samples}
        rules = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]
        text = " ".join(rule["expr"] for rule in rules)
        assert set(re.findall(r"ipinsights_\w+", text)) <= names
        labels = {pair for name in samples for pair in name.split()[1:]}
        assert {f"{name}={value}" for name, value in re.findall(r'(route|outcome)="([^"]+)"', text)} <= labels
        assert len(rules) == len({rule["alert"] for rule in rules})

    def test_manifest_matches_the_server(self) -> None:
        """The manifest's command is accepted, and its probes and ports are those of the server."""
        deployment, service = yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())
        pod = deployment["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        words = [*container["command"][1:], *container["args"]]
        assert words[:3] == ["serve", "--base-dir", "/opt/ml"]
        help_text = subprocess.run(
            [sys.executable, "-m", "ipinsights", "serve", "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert all(word in help_text for word in words if word.startswith("--"))
        assert [probe["httpGet"]["path"] for probe in (container["readinessProbe"], container["livenessProbe"])] == [
            "/ping",
            "/livez",
        ]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": 8080, "metrics": int(words[words.index("--metrics-port") + 1])}
        assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
        assert service["spec"]["selector"] == pod["metadata"]["labels"] == deployment["spec"]["selector"]["matchLabels"]

    def test_unit(self, tmp_path: Path) -> None:
        """`systemd-analyze` accepts the unit and reports few unneeded privileges."""
        if not shutil.which("systemd-analyze"):
            pytest.skip("systemd is not installed")
        text = (FILES / "ipinsights.service").read_text()
        program = Path(sys.executable).with_name("ipinsights")
        assert text.count("/opt/ipinsights/bin/ipinsights ") == 1
        unit = tmp_path / "ipinsights.service"
        unit.write_text(text.replace("/opt/ipinsights/bin/ipinsights ", f"{program} "))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        # 10 is a service without any restriction, 1.3 this one.
        security: list[str | Path] = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
        assert subprocess.run(security, capture_output=True, check=False).returncode == 0
        help_text = subprocess.run([program, "serve", "--help"], capture_output=True, text=True, check=True).stdout
        assert all(
            option in help_text
            for option in re.findall(r"--[a-z-]+", text.partition("ExecStart=")[2])
            if option != "--"
        )


def open_files(pid: int) -> set[str]:
    """Return the paths of the files that a process has open."""
    paths = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            paths.add(str(descriptor.readlink()))
    return paths


def unique_keys(node: yaml.Node) -> None:
    """Assert that no map below a node has a key twice."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
    for child in node.value if isinstance(node.value, list) else ():
        for part in child if isinstance(child, tuple) else (child,):
            unique_keys(part)
