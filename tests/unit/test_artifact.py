"""Model files: they can be read by us and by MXNet, and damaged files are refused."""

from __future__ import annotations

import gzip
import io
import json
import re
import resource
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model import artifact, ndarray_archive
from ipinsights.model.bloom import BloomFilter
from ipinsights.model.ip_encoder import octet_rows

from .small_model import FOREIGN, KNOWN, NUM_ROWS, members_of, refusal_of, rewritten, saved, with_meta

if TYPE_CHECKING:
    from collections.abc import Callable


@cache
def small_model() -> tuple[dict[str, list[Any]], bytes]:
    """Return the parameters of a small network, and the bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        learner, path = saved(Path(folder))
        return {name: array.tolist() for name, array in learner.parameters().items()}, path.read_bytes()


class TestSave:
    """What is written."""

    @pytest.mark.parametrize("num_layers", [0, 1, 3])
    def test_it_is_read_back(self, tmp_path: Path, num_layers: int) -> None:
        """Parameters to the bit, known entities, hyperparameters and facts of the run."""
        learner, path = saved(tmp_path / "new" / "folder", num_layers=num_layers, num_rows=7)
        found = artifact.load(path)
        assert path == tmp_path / "new" / "folder" / "model_algo-1"
        assert found.hyperparameters == learner.hyperparameters
        assert found.known_entities.bits.tolist() == BloomFilter.of(KNOWN, NUM_ROWS).bits.tolist()
        assert found.meta["training"] == {"seed": 0, "num_rows": 7}
        assert list(found.params) == list(artifact.parameter_shapes(learner.hyperparameters))
        for name, array in learner.parameters().items():
            assert found.params[name].tolist() == array.tolist(), name

    @pytest.mark.filterwarnings("ignore:Cannot decide type:UserWarning")  # MXNet's loader does not look at dtypes
    def test_mxnet_reads_it_without_us(self, tmp_path: Path, rng: np.random.Generator, mx: Any) -> None:
        """The unzipped members are an MXNet symbol and parameters that compute the same scores."""
        from ipinsights.model.network import IPInsightsNet

        symbol = IPInsightsNet(NUM_ROWS, 6, 2).symbol()
        learner, path = saved(tmp_path, symbol=symbol)
        for name, content in members_of(path).items():
            (tmp_path / name).write_bytes(content)
        rows, ips = rng.integers(10, size=50).astype(np.int32), rng.integers(2**32, size=50, dtype=np.uint32)
        inputs = ["entity_rows", "octet_rows"]
        block = mx.gluon.SymbolBlock.imports(str(tmp_path / "symbol.json"), inputs, str(tmp_path / "params"))
        scores = block(mx.nd.array(rows, dtype="int32"), mx.nd.array(octet_rows(ips), dtype="int32"))
        assert scores.asnumpy().tolist() == pytest.approx(learner.score(rows, ips).tolist(), abs=1e-7)

    def test_it_is_whole_without_a_symbol(self, tmp_path: Path) -> None:
        """Without a symbol, all other members are equal to the byte.

        This is the file that training without MXNet writes.
        """
        learner, path = saved(tmp_path / "without", symbol=None)
        _, other = saved(tmp_path / "with", symbol="{}")
        assert members_of(other) == {**members_of(path), "symbol.json": b"{}"}
        assert artifact.load(path).params["entity_weight"].tolist() == learner.parameters()["entity_weight"].tolist()

    def test_equal_models_are_equal_to_the_byte(self, tmp_path: Path) -> None:
        """No time, no order of a set, nothing of the moment is in the file."""
        files = [saved(tmp_path / name, seed=seed)[1].read_bytes() for name, seed in (("a", 1), ("b", 1), ("c", 2))]
        assert files[0] == files[1] != files[2]

    def test_a_large_table_is_written_in_pieces(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pieces of one row give the same file."""
        whole = saved(tmp_path / "whole")[1].read_bytes()
        monkeypatch.setattr(ndarray_archive, "_CHUNK_BYTES", 1)
        assert saved(tmp_path / "pieces")[1].read_bytes() == whole

    def test_a_model_in_use_is_not_changed_by_the_next(self, tmp_path: Path) -> None:
        """The new file takes the old one's name; who has the old one open keeps it."""
        learner, path = saved(tmp_path, seed=1)
        opened = artifact.load(path)
        saved(tmp_path, seed=2)
        assert opened.params["entity_weight"].tolist() == learner.parameters()["entity_weight"].tolist()

    def test_a_folder_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        """What cannot be written is the user's to mend."""
        (tmp_path / "file").touch()
        with pytest.raises(ClientError) as caught:
            saved(tmp_path / "file")
        assert str(caught.value) == (f"The model cannot be written to {tmp_path}/file: File exists.")

    def test_it_can_be_tried_before_training(self, tmp_path: Path) -> None:
        """A usable folder is created and stays empty, and an unusable folder is refused at once."""
        sizes = Hyperparameters(num_entity_vectors=10, vector_dim=4)
        artifact.prepare(tmp_path / "new" / "folder", sizes)
        assert list((tmp_path / "new" / "folder").iterdir()) == []
        with pytest.raises(ClientError) as caught:
            artifact.prepare(Path("/proc/model"), sizes)
        assert str(caught.value) == "The model cannot be written to /proc/model: No such file or directory."

    def test_a_model_that_the_disk_has_no_room_for_is_refused(self, tmp_path: Path) -> None:
        """Before training, with both sizes and the cure."""
        with pytest.raises(ClientError) as caught:
            artifact.prepare(tmp_path, Hyperparameters(num_entity_vectors=250_000_000, vector_dim=4096))
        expected = (
            rf"The model takes 4096\d{{3}}\.\d\d MB, and \d+\.\d\d MB are free in {tmp_path}\. Lower "
            r"num_entity_vectors or vector_dim, or free some space\."
        )
        assert re.fullmatch(expected, str(caught.value))

    def test_a_full_disk_leaves_the_old_model(self, tmp_path: Path) -> None:
        """A model half written does not replace a whole one, and leaves no file."""
        _, path = saved(tmp_path)
        before = path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            with pytest.raises(ClientError) as caught:
                saved(tmp_path, seed=3)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(caught.value) == f"The model cannot be written to {tmp_path}: File too large."
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == ["model_algo-1"]


class TestLoad:
    """What is read, and what is refused."""

    def test_every_form_a_model_comes_in_is_read(self, tmp_path: Path) -> None:
        """A folder, the file, SageMaker's archive, a folder with that archive in it."""
        _, path = saved(tmp_path / "model")
        folder = tmp_path / "downloaded"
        folder.mkdir()
        with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
            tar.add(path, arcname="./model_algo-1")
        expected = artifact.load(path).summary()
        for form in (tmp_path / "model", folder / "model.tar.gz", folder):
            assert artifact.load(form).summary() == expected

    def test_nothing_there_is_told(self, tmp_path: Path) -> None:
        """The message says what would do."""
        assert refusal_of(tmp_path / "model") == (
            f"There is no model at {tmp_path}/model: give a model directory, a model_algo-1 file or a model.tar.gz."
        )
        assert refusal_of(tmp_path) == (
            f"There is no model in the folder {tmp_path}: "
            "it holds neither model_algo-1, which training writes, nor model.tar.gz."
        )

    def test_another_algorithms_archive_is_told(self, tmp_path: Path) -> None:
        """A model.tar.gz without model_algo-1 is somebody else's."""
        path = tmp_path / "model.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("xgboost-model"), io.BytesIO())
        assert refusal_of(path) == f"{path} holds no model_algo-1: it is not a model of ipinsights. {FOREIGN}"

    def test_half_an_archive_is_told(self, tmp_path: Path) -> None:
        """A download that broke off."""
        _, model = saved(tmp_path)
        path = tmp_path / "model.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(model, arcname="model_algo-1")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert refusal_of(path).startswith(f"{path} cannot be unpacked: ")

    def test_a_model_of_the_original_is_told(self, tmp_path: Path) -> None:
        """A zip of a symbol and parameters, as siblings' models are, is not ours and is no accident."""
        path = tmp_path / "model_algo-1"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("symbol.json", "{}")
        assert refusal_of(path) == (
            f"{path} is not a whole model of ipinsights: it has no meta.json. A model that AWS's container trained "
            "cannot be read: train one with ipinsights, on the same data."
        )

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (lambda path: path.write_bytes(b"no zip"), f"File is not a zip file. {FOREIGN[:-1]}"),
            (lambda path: path.write_bytes(gzip.compress(b"")), f"File is not a zip file. {FOREIGN[:-1]}"),
            (lambda path: path.write_bytes(path.read_bytes()[:-100]), "File is not a zip file"),
            (
                lambda path: path.write_bytes(path.read_bytes().replace(b"entity_weight", b"entity_eights", 1)),
                "the checksum of its params is wrong",
            ),
            (lambda path: rewritten(path, params=None), "it has no params"),
            (lambda path: rewritten(path, meta_json=b"[]"), "its meta.json is no object"),
            (
                lambda path: rewritten(path, meta_json=b"{}"),
                "its format is version None, this ipinsights reads versions 1 and 2",
            ),
            (
                lambda path: with_meta(path, format_version=3),
                "its format is version 3, this ipinsights reads versions 1 and 2",
            ),
            (
                lambda path: rewritten(path, known_entities=bytes(11)),
                "its known_entities has 11 bytes, at most 10 are possible",
            ),
            (
                lambda path: rewritten(path, meta_json=b" " * 2**21),
                "its meta.json has 2097152 bytes, at most 1048576 are possible",
            ),
            (lambda path: rewritten(path, known_entities=bytes(9)), "buffer is smaller than requested size"),
            (
                lambda path: with_meta(path, hyperparameters={"vector_dim": "6"}),
                "Hyperparameter 'num_entity_vectors' is required and missing: give an integer from 1 to 250000000. "
                "Rows of the table that entities are hashed into; twice the number of distinct entities is a good "
                "start",
            ),
            (lambda path: rewritten(path, params=bytes(100)), "its params are no MXNet NDArray file"),
        ],
    )
    def test_damage_is_told(self, tmp_path: Path, damage: Callable[[Path], object], reason: str) -> None:
        """One sentence names the file and what is wrong with it."""
        _, path = saved(tmp_path)
        damage(path)
        assert refusal_of(path) == f"{path} is not a whole model of ipinsights: {reason}."

    def test_a_compressed_model_is_refused(self, tmp_path: Path) -> None:
        """Parameters are mapped, not read, so they must lie there as they are."""
        _, path = saved(tmp_path)
        members = members_of(path)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        assert refusal_of(path) == f"{path} is not a whole model of ipinsights: its member meta.json is compressed."

    @pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("name", ["ip_octet_weight", "ip_layer1_bias"])
    def test_an_encoder_without_numbers_is_refused(self, tmp_path: Path, name: str, number: float) -> None:
        """An encoder with a value that is not finite is refused, and the message names it."""
        values = Hyperparameters(NUM_ROWS, 6, num_ip_encoder_layers=2)
        shapes = artifact.parameter_shapes(values)
        params = {each: np.zeros(shape, dtype=np.float32) for each, shape in shapes.items()}
        params[name].flat[-1] = number
        nobody = BloomFilter(np.zeros(NUM_ROWS, dtype=np.uint8))
        meta = artifact.meta_data(values, {})
        path = artifact.write(tmp_path, artifact.Artifact(values, params, nobody, meta, "{}"))
        assert refusal_of(path) == f"{path} cannot score: its {name} holds values that are no finite numbers."

    def test_a_model_that_contradicts_itself_is_refused(self, tmp_path: Path) -> None:
        """Shapes are checked against the hyperparameters before a score is computed with them."""
        _, path = saved(tmp_path, num_layers=0)
        with_meta(path, hyperparameters={"num_entity_vectors": "10", "vector_dim": "7", "num_ip_encoder_layers": "0"})
        assert refusal_of(path) == (
            f"{path} contradicts itself: its hyperparameters ask for "
            "{'entity_weight': (10, 7), 'ip_octet_weight': (1024, 2)}, it holds "
            "{'entity_weight': (10, 6), 'ip_octet_weight': (1024, 2)}."
        )

    @given(st.data())
    def test_no_damage_ends_in_a_traceback(self, data: st.DataObject) -> None:
        """Whatever bytes are changed or cut off, a model is refused or read with its parameters."""
        with tempfile.TemporaryDirectory() as folder:
            params, whole = small_model()
            path, content = Path(folder) / "model_algo-1", bytearray(whole)
            ends = st.integers(0, 400) | st.integers(len(content) - 1200, len(content) - 1)
            for place in data.draw(st.lists(ends, max_size=3)):
                content[place] = data.draw(st.integers(0, 255))
            path.write_bytes(content[: len(content) - data.draw(st.just(0) | st.integers(0, 1200))])
            try:
                found = artifact.load(path)
            except ClientError:
                return
            assert {name: array.tolist() for name, array in found.params.items()} == params


def test_a_summary_is_json(tmp_path: Path) -> None:
    """Meta data, shapes and the number of known entities survive JSON."""
    _, path = saved(tmp_path, num_layers=1)
    summary = json.loads(json.dumps(artifact.load(path).summary()))
    assert summary["num_known_entities"] == 3
    assert summary["parameters"] == {
        "entity_weight": [10, 6],
        "ip_octet_weight": [1024, 2],
        "ip_layer0_weight": [6, 6],
        "ip_layer0_bias": [6],
    }
    assert summary["hyperparameters"]["learning_rate"] == "1e-05"
