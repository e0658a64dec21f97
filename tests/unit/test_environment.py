"""The container's folder tree is read with any base folder, and errors are reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.errors import ClientError
from ipinsights.sagemaker.environment import Channel, Environment, failure_file, read_json_object
from ipinsights.testing import make_container_tree

if TYPE_CHECKING:
    from pathlib import Path

GIVEN = {"num_entity_vectors": "10", "vector_dim": "4"}


def tree(base: Path, *channels: str, **options: Any) -> Environment:
    """Make a tree with some channels and read it."""
    texts = dict.fromkeys(channels or ("train",), "u,1.2.3.4\n")
    return Environment.read(make_container_tree(base, hyperparameters=GIVEN, channels=texts, **options))


def write_json(base: Path, name: str, content: object) -> None:
    """Write one of the configuration files."""
    folder = base / "input" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def refusal_of_channel(environment: Environment, name: str) -> str:
    """Return the error message of a job without a usable channel."""
    with pytest.raises(ClientError) as caught:
        environment.required_channel(name)
    return str(caught.value)


def refusal_of_tree(base: Path) -> str:
    """Return the error message for an invalid folder tree."""
    with pytest.raises(ClientError) as caught:
        Environment.read(base)
    return str(caught.value)


class TestEnvironment:
    """A tree as one value."""

    def test_what_the_platform_writes_is_read(self, tmp_path: Path) -> None:
        """Hyperparameters, channels and hosts, and everything below the base that was given."""
        environment = tree(tmp_path, "train", "validation", hosts=("algo-1", "algo-2"))
        assert environment == Environment(
            base=tmp_path,
            hyperparameters=GIVEN,
            channels={
                "train": Channel("train", tmp_path / "input" / "data" / "train", "text/csv"),
                "validation": Channel("validation", tmp_path / "input" / "data" / "validation", "text/csv"),
            },
            current_host="algo-1",
            hosts=("algo-1", "algo-2"),
            network_interface="eth0",
        )
        assert environment.hyperparameters_file == tmp_path / "input" / "config" / "hyperparameters.json"
        assert environment.model_dir == tmp_path / "model"
        assert failure_file(tmp_path) == tmp_path / "output" / "failure"

    def test_no_configuration_is_needed(self, tmp_path: Path) -> None:
        """On a laptop every folder below input/data is a channel, and the only host is algo-1."""
        for name in ("train", "validation"):
            (tmp_path / "input" / "data" / name).mkdir(parents=True)
        (tmp_path / "input" / "data" / "train-manifest").write_text("{}")
        environment = Environment.read(tmp_path)
        assert list(environment.channels) == ["train", "validation"]
        assert environment.hyperparameters == {}
        assert (environment.current_host, environment.hosts) == ("algo-1", ("algo-1",))
        assert environment.network_interface is None

    def test_local_mode_names_no_interface(self, tmp_path: Path) -> None:
        """SageMaker's local mode leaves the network interface out."""
        write_json(tmp_path, "resourceconfig.json", {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]})
        environment = Environment.read(tmp_path)
        assert (environment.current_host, environment.hosts) == ("algo-2", ("algo-1", "algo-2"))
        assert environment.network_interface is None

    @pytest.mark.parametrize(
        ("content", "shown"),
        [
            ({"hosts": None}, "'current_host' is \"algo-1\", 'hosts' are null and 'network_interface_name' is null"),
            ({"hosts": "x"}, "'current_host' is \"algo-1\", 'hosts' are \"x\" and 'network_interface_name' is null"),
            (
                {"current_host": 1, "hosts": [1, "b" * 99], "network_interface_name": 5},
                f"'current_host' is 1, 'hosts' are [1, \"{'b' * 55}... and 'network_interface_name' is 5",
            ),
        ],
    )  # fmt: skip
    def test_names_that_are_no_strings_are_told(self, tmp_path: Path, content: object, shown: str) -> None:
        """The names of hosts and network interface must be strings."""
        write_json(tmp_path, "resourceconfig.json", content)
        assert refusal_of_tree(tmp_path) == (
            f"{tmp_path}/input/config/resourceconfig.json must name hosts and network interface by strings: {shown}."
        )

    @pytest.mark.parametrize(
        ("hosts", "reason"),
        [
            (["algo-2"], "contradicts itself: current_host 'algo-1' is not among the hosts algo-2"),
            (["algo-1", "algo-1"], "names a host twice: its hosts are algo-1, algo-1"),
        ],
    )
    def test_hosts_without_one_place_for_this_host_are_told(
        self, tmp_path: Path, hosts: list[str], reason: str
    ) -> None:
        """The current host must be one of the hosts, and each host must have one rank."""
        write_json(tmp_path, "resourceconfig.json", {"current_host": "algo-1", "hosts": hosts})
        assert refusal_of_tree(tmp_path) == f"resourceconfig.json {reason}."

    @pytest.mark.parametrize("name", ["hyperparameters.json", "resourceconfig.json", "inputdataconfig.json"])
    def test_a_link_that_leads_nowhere_is_told(self, tmp_path: Path, name: str) -> None:
        """A file that is a link to nothing was given, so defaults do not take its place."""
        path = tmp_path / "input" / "config" / name
        path.parent.mkdir(parents=True)
        path.symlink_to("gone.json")
        assert refusal_of_tree(tmp_path) == f"{path} cannot be read: No such file or directory."

    @pytest.mark.parametrize("name", ["hyperparameters.json", "resourceconfig.json", "inputdataconfig.json"])
    def test_a_file_that_holds_no_object_is_told(self, tmp_path: Path, name: str) -> None:
        """Each of the three must hold a JSON object."""
        write_json(tmp_path, name, ["train"])
        assert refusal_of_tree(tmp_path) == (
            f"{tmp_path}/input/config/{name} must hold a JSON object, it holds a list."
        )


class TestChannel:
    """Channels that can be read, and those that cannot."""

    @pytest.mark.parametrize("content_type", [None, "", "text/csv", "text/csv; charset=utf-8", "TEXT/CSV;label_size=0"])
    def test_csv_is_read(self, tmp_path: Path, content_type: str | None) -> None:
        """A channel without content type, as the console makes them, is CSV."""
        channel = tree(tmp_path, content_type=content_type).required_channel("train")
        assert channel.path == tmp_path / "input" / "data" / "train"

    @pytest.mark.parametrize("content_type", ["application/x-recordio-protobuf", "csv", "text/csvx"])
    def test_anything_else_is_refused(self, tmp_path: Path, content_type: str) -> None:
        """The message names the channel, what it is said to hold, and the cure."""
        assert refusal_of_channel(tree(tmp_path, content_type=content_type), "train") == (
            f"Channel 'train' has content type '{content_type}'; IP Insights reads text/csv only. "
            "Set the channel's ContentType to text/csv, or leave it out."
        )

    @pytest.mark.parametrize("mode", ["File", "FastFile"])
    def test_file_modes_are_read(self, tmp_path: Path, mode: str) -> None:
        """FastFile looks like files, and is read like files."""
        write_json(tmp_path, "inputdataconfig.json", {"train": {"TrainingInputMode": mode}})
        (tmp_path / "input" / "data" / "train").mkdir(parents=True)
        channel = Environment.read(tmp_path).required_channel("train")
        assert channel.path == tmp_path / "input" / "data" / "train"

    def test_pipe_mode_is_refused(self, tmp_path: Path) -> None:
        """A channel that streams is no folder of files."""
        write_json(tmp_path, "inputdataconfig.json", {"train": {"TrainingInputMode": "Pipe"}})
        assert refusal_of_tree(tmp_path) == (
            "Channel 'train' is in Pipe mode; IP Insights reads files. Use File or FastFile as its input mode."
        )

    def test_a_description_that_is_no_object_is_refused(self, tmp_path: Path) -> None:
        """A channel described by a path instead of an object is refused."""
        write_json(tmp_path, "inputdataconfig.json", {"train": "s3://bucket/train"})
        assert refusal_of_tree(tmp_path) == (
            "Channel 'train' must be described by a JSON object, not by \"s3://bucket/train\"."
        )

    def test_an_optional_channel_may_be_missing(self, tmp_path: Path) -> None:
        """A missing validation channel is None."""
        assert tree(tmp_path).channel("validation") is None

    @pytest.mark.parametrize("name", ["Train", "Training", "train_", "trian"])
    def test_a_misspelt_channel_is_recognized(self, tmp_path: Path, name: str) -> None:
        """A job whose only channel is 'Training' is told what to call it."""
        assert refusal_of_channel(tree(tmp_path, name), "train") == (
            f"The job has no channel 'train'; its channels are '{name}'. Did you mean '{name}'? Rename it to 'train'."
        )

    def test_the_channels_there_are_are_named(self, tmp_path: Path) -> None:
        """Without a similar name the error lists the names of the channels."""
        assert refusal_of_channel(tree(tmp_path, "x", "validation"), "train") == (
            "The job has no channel 'train'; its channels are 'x', 'validation'."
        )

    def test_no_channel_at_all_is_told_with_the_place(self, tmp_path: Path) -> None:
        """The message says where a tree made by hand has its data."""
        assert refusal_of_channel(Environment.read(tmp_path), "train") == (
            f"The job has no channel 'train'; it has none at all. Put the data into {tmp_path}/input/data/train."
        )


class TestReadJsonObject:
    """JSON files of the user's."""

    def test_no_json_is_told(self, tmp_path: Path) -> None:
        """Invalid JSON is reported with file, line and column."""
        path = tmp_path / "hyperparameters.json"
        path.write_text("epochs=1")
        with pytest.raises(ClientError) as caught:
            read_json_object(path)
        assert str(caught.value) == f"{path} cannot be read as JSON: Expecting value: line 1 column 1 (char 0)."

    def test_a_missing_file_is_told(self, tmp_path: Path) -> None:
        """A missing file is reported with the system's reason."""
        with pytest.raises(ClientError) as caught:
            read_json_object(tmp_path / "no.json")
        assert str(caught.value) == f"{tmp_path}/no.json cannot be read: No such file or directory."

    def test_a_name_given_twice_is_told(self, tmp_path: Path) -> None:
        """A repeated name is refused, because one of its values would be lost."""
        path = tmp_path / "hyperparameters.json"
        path.write_text('{"epochs": "5", "vector_dim": "8", "epochs": "7"}')
        with pytest.raises(ClientError) as caught:
            read_json_object(path)
        assert str(caught.value) == f"{path} cannot be read as JSON: 'epochs' is given twice."

    def test_a_byte_order_mark_is_no_fault(self, tmp_path: Path) -> None:
        """A byte order mark, as Windows' editors write it, is ignored."""
        path = tmp_path / "hyperparameters.json"
        path.write_bytes(b'\xef\xbb\xbf{"epochs": "5"}')
        assert read_json_object(path) == {"epochs": "5"}
