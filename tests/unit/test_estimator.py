"""The estimator: parameters, training, and scikit-learn's contract."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from ipinsights import Callback, InvalidValueError, IPInsights, RowsError
from ipinsights.config.hyperparameter_table import TABLE
from ipinsights.data.ipv4 import format_ips
from ipinsights.testing import PlantedNetworks, run_command

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.training.trainer import Trainer

RNG = np.random.default_rng(7)
PLANTED = PlantedNetworks.draw(6, rng=RNG)

_NO_PAIRS = "its data are numbers, and an entity with an address is two texts"
# Checks that fit on random numbers, most of them in three or more columns.
EXPECTED_FAILURES = {
    **dict.fromkeys(
        [
            "check_classifier_data_not_an_array", "check_dict_unchanged", "check_dont_overwrite_parameters",
            "check_dtype_object", "check_estimators_dtypes", "check_estimators_fit_returns_self",
            "check_estimators_overwrite_params", "check_estimators_pickle", "check_f_contiguous_array_estimator",
            "check_fit2d_predict1d", "check_fit_check_is_fitted", "check_fit_idempotent", "check_fit_score_takes_y",
            "check_methods_sample_order_invariance", "check_methods_subset_invariance", "check_n_features_in",
            "check_n_features_in_after_fitting", "check_outliers_fit_predict", "check_outliers_train",
            "check_pipeline_consistency", "check_readonly_memmap_input",
        ],
        _NO_PAIRS,
    ),
    "check_estimators_empty_data_messages": "an array without columns is refused for its columns: two are required",
    "check_estimators_nan_inf": "floating-point numbers are refused before NaN among them is looked for",
    "check_fit2d_1sample": "one row of ten columns is refused for its columns, and one row of two is enough",
    "check_positive_only_tag_during_fit": "negative numbers are refused as all floating-point numbers are",
}  # fmt: skip


def frame(num_rows: int, *, odd: bool = False) -> pd.DataFrame:
    """Return normal or odd rows."""
    entities, ips = (PLANTED.odd if odd else PLANTED.normal)(num_rows, rng=RNG)
    return pd.DataFrame({"user": PLANTED.names(entities), "address": format_ips(ips).to_pylist()})


TRAIN = frame(300)
QUICK: dict[str, Any] = {"vector_dim": 8, "epochs": 1, "progress": False}


@pytest.mark.skipif(not hasattr(estimator_checks, "estimator_checks_generator"), reason="needs scikit-learn 1.6")
def test_scikit_learn_s_checks_pass_or_fail_for_a_reason() -> None:
    """Only scikit-learn's checks that pass numbers as data fail, and all others pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = estimator_checks.check_estimator(
            IPInsights(**QUICK), expected_failed_checks=EXPECTED_FAILURES, on_skip=None, on_fail=None
        )
    statuses = {result["check_name"]: result["status"] for result in results}
    assert [name for name, status in statuses.items() if status == "failed"] == []
    assert {"check_estimator_cloneable", "check_estimators_unfitted", "check_get_params_invariance", "check_set_params",
            "check_no_attributes_set_in_init", "check_parameters_default_constructible"} <= {
        name for name, status in statuses.items() if status == "passed"
    }  # fmt: skip


def test_every_documented_hyperparameter_is_a_parameter() -> None:
    """Each has SageMaker's default, except the four sizes, which are chosen."""
    parameters = IPInsights().get_params()
    for row in TABLE:
        if row.is_documented:
            is_chosen = row.name in {"num_entity_vectors", "vector_dim", "mini_batch_size", "epochs"}
            assert parameters[row.name] == (None if is_chosen else row.domain.parse(str(row.default)))


def test_chosen_sizes_are_stored(tmp_path: Path) -> None:
    """Chosen sizes are attributes, in the artifact, and parameters of a loaded model."""
    model = IPInsights(epochs=1, progress=False).fit(TRAIN)
    assert (model.vector_dim_, model.mini_batch_size_, model.epochs_) == (128, 32, 1)
    assert model.num_entity_vectors_ >= 12
    model.save(tmp_path)
    loaded = IPInsights.load(tmp_path)
    assert loaded.hyperparameters_ == model.hyperparameters_
    assert loaded.num_entity_vectors == model.num_entity_vectors_
    assert model.num_entity_vectors is None


def test_settings_and_seed_determine_the_bytes(tmp_path: Path) -> None:
    """An estimator made of what a model reports trains the same model."""
    first = IPInsights(**QUICK, random_state=3).fit(TRAIN)
    again = IPInsights.from_sagemaker(first.hyperparameters_, random_state=first.seed_, progress=False).fit(TRAIN)
    other = IPInsights(**QUICK, random_state=4).fit(TRAIN)
    contents = [model.save(tmp_path / str(at)).read_bytes() for at, model in enumerate((first, again, other))]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("random_state", [np.random.RandomState(5), np.random.default_rng(5), None])
def test_generators_give_a_seed(random_state: Any) -> None:
    """The drawn seed is stored, and repeats the training."""
    model = IPInsights(**QUICK, random_state=random_state).fit(TRAIN)
    again = IPInsights(**QUICK, random_state=model.seed_).fit(TRAIN)
    assert np.array_equal(again.score_samples(TRAIN), model.score_samples(TRAIN))


class TestFromSageMaker:
    """A job's map of strings, strictly."""

    def test_defaults_are_sagemaker_s(self) -> None:
        """Omitted hyperparameters have SageMaker's defaults, and no size is chosen."""
        model = IPInsights.from_sagemaker({"num_entity_vectors": "100", "vector_dim": '"16"'}, n_jobs=2)
        assert (model.num_entity_vectors, model.vector_dim, model.mini_batch_size, model.epochs) == (
            100,
            16,
            10_000,
            10,
        )
        assert model.n_jobs == 2

    def test_all_faults_are_named(self) -> None:
        """One error has all unknown, missing and invalid hyperparameters."""
        with pytest.raises(InvalidValueError) as caught:
            IPInsights.from_sagemaker({"vector_dim": "2", "epoch": "1", "num_entity_vectors": "10"})
        assert str(caught.value) == (
            "2 hyperparameters are wrong:\n  - Hyperparameter 'epoch' is unknown. Did you mean 'epochs'?\n"
            "  - Hyperparameter 'vector_dim' must be an integer from 4 to 4096; it is '2'."
        )
        with pytest.raises(ValueError, match="'num_entity_vectors' is required and missing"):
            IPInsights.from_sagemaker({"vector_dim": "16"})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"vector_dim": 2}, "Hyperparameter 'vector_dim' must be an integer from 4 to 4096; it is 2."),
        ({"epochs": 1.5}, "Hyperparameter 'epochs' must be an integer, at least 1; it is 1.5."),
        ({"random_state": -1}, "random_state must be an integer of at least 0. Got -1."),
        ({"n_jobs": 0}, "n_jobs must be a positive integer, -1 or None. Got 0."),
    ],
)
def test_invalid_parameters_are_refused_when_fitting(parameters: dict[str, Any], message: str) -> None:
    """A ValueError names the parameter, the rule and the value."""
    with pytest.raises(ValueError, match=r"must be") as caught:
        IPInsights(**parameters).fit(TRAIN)
    assert str(caught.value) == message


def test_numbers_of_numpy_are_numbers() -> None:
    """NumPy's integers and floats, as in a grid of parameters, are taken as Python's."""
    values: dict[str, Any] = {"vector_dim": np.int64(8), "epochs": np.int32(1), "learning_rate": np.float64(0.01)}
    assert IPInsights(**values, progress=False).fit(TRAIN).vector_dim_ == 8


def test_every_method_needs_a_fit() -> None:
    """The error is scikit-learn's, whatever the data are."""
    model = IPInsights()
    calls: list[Any] = [model.score_samples, model.predict, model.decision_function, model.entity_known,
                        model.calibrate, model.entity_embeddings, model.ip_embeddings, model.save]  # fmt: skip
    for call in [*calls, lambda _: model.explain("a", "192.0.2.1"), lambda _: model.history_]:
        with pytest.raises(NotFittedError):
            call(TRAIN)
    assert not hasattr(model, "predictor_")


def test_history_has_a_row_for_each_epoch() -> None:
    """The DataFrame has a row for each epoch, with the AUC of validation data if there are some."""
    model = IPInsights(**{**QUICK, "epochs": 3}).fit(TRAIN, validation=frame(100))
    assert model.history_["epoch"].tolist() == [1, 2, 3]
    assert model.history_["validation_auc"].between(0, 1).all()
    assert IPInsights(**QUICK).fit(TRAIN).history_["validation_auc"].isna().all()


class _At(Callback):
    """Runs a function after the third base batch."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def on_base_batch_end(self, trainer: Trainer) -> None:
        """Run it."""
        if trainer.state.num_base_batches == 3:
            self.function(trainer)


class TestStopping:
    """Training ends early, and the object can be used."""

    def test_ctrl_c_leaves_a_usable_object(self, tmp_path: Path) -> None:
        """A warning says how far it came, and the handler is the one from before."""
        handler = signal.getsignal(signal.SIGINT)
        interrupt = _At(lambda _: os.kill(os.getpid(), signal.SIGINT))
        with pytest.warns(UserWarning, match=r"^Training was interrupted ") as caught:
            model = IPInsights(**{**QUICK, "epochs": 5}, callbacks=[interrupt]).fit(TRAIN)
        assert str(caught[0].message) == (
            "Training was interrupted in epoch 1 of 5. The model is what was trained until then."
        )
        assert signal.getsignal(signal.SIGINT) is handler
        assert len(model.score_samples(TRAIN)) == 300
        assert model.save(tmp_path).is_file()

    def test_a_second_ctrl_c_ends_at_once(self) -> None:
        """A second interrupt raises KeyboardInterrupt, and the estimator is not fitted."""

        def interrupt_twice(_: Trainer) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

        model = IPInsights(**QUICK, callbacks=[_At(interrupt_twice)])
        with pytest.raises(KeyboardInterrupt):
            model.fit(TRAIN)
        with pytest.raises(NotFittedError):
            model.predict(TRAIN)

    def test_a_callback_may_stop_a_run(self) -> None:
        """A run that a callback stops gives no warning."""
        stop = _At(lambda trainer: setattr(trainer.state, "stop", True))
        assert len(IPInsights(**{**QUICK, "epochs": 5}, callbacks=[stop]).fit(TRAIN).history_) == 0


def test_a_thread_trains_the_same_model() -> None:
    """Signals are the main thread's, and are left alone."""
    found: list[IPInsights] = []
    thread = threading.Thread(target=lambda: found.append(IPInsights(**QUICK).fit(TRAIN)))
    thread.start()
    thread.join()
    assert np.array_equal(found[0].score_samples(TRAIN), IPInsights(**QUICK).fit(TRAIN).score_samples(TRAIN))


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """A fit writes neither a log nor a progress bar where there is no terminal."""
    IPInsights(vector_dim=8, epochs=1).fit(TRAIN)
    assert capfd.readouterr() == ("", "")


class TestWithScikitLearn:
    """Pipelines, searches, clones and joblib."""

    def test_a_search_over_the_width_uses_labels(self) -> None:
        """The scorer compares the decision function with labels of a fold that is not trained on."""
        test = pd.concat([frame(60), frame(60, odd=True)])
        fold = PredefinedSplit([-1] * 300 + [0] * 120)
        search = GridSearchCV(
            IPInsights(epochs=3, progress=False), {"vector_dim": [4, 32]}, scoring="roc_auc", cv=fold, refit=False
        )
        search.fit(pd.concat([TRAIN, test], ignore_index=True), np.repeat([1, 1, -1], [300, 60, 60]))
        aucs = search.cv_results_["mean_test_score"]
        assert search.best_params_["vector_dim"] == [4, 32][int(np.argmax(aucs))]
        assert 0 <= aucs.min() < aucs.max() <= 1

    def test_a_pipeline_ends_in_it(self) -> None:
        """What comes before it is a transformer of pairs."""
        lower = FunctionTransformer(lambda rows: rows.assign(user=rows["user"].str.lower()))
        pipeline = make_pipeline(lower, IPInsights(**QUICK))
        scores = pipeline.fit(TRAIN).score_samples(TRAIN.assign(user=TRAIN["user"].str.upper()))
        assert np.array_equal(scores, IPInsights(**QUICK).fit(TRAIN).score_samples(TRAIN))
        assert pipeline.fit_predict(TRAIN).isin([1, -1]).all()

    def test_clones_have_the_parameters_and_are_not_fitted(self) -> None:
        """scikit-learn's function and the method return the same clone."""
        model = IPInsights(**QUICK, callbacks=(Callback(),)).fit(TRAIN)
        for copied in (clone(IPInsights(**QUICK).fit(TRAIN)), model.clone()):
            assert copied.get_params()["vector_dim"] == 8
            with pytest.raises(NotFittedError):
                copied.predict(TRAIN)

    def test_joblib_round_trips(self, tmp_path: Path) -> None:
        """A model with a file and one without score alike after a round trip."""
        model = IPInsights(**QUICK).fit(TRAIN)
        for name in ("without", "with"):
            joblib.dump(model, tmp_path / name)
            assert np.array_equal(joblib.load(tmp_path / name).score_samples(TRAIN), model.score_samples(TRAIN))
            model.save(tmp_path / "model")

    def test_it_is_shown_in_a_notebook(self) -> None:
        """The HTML is that of scikit-learn's estimators."""
        assert "IPInsights" in IPInsights()._repr_html_()
        assert repr(IPInsights(vector_dim=8)) == "IPInsights(vector_dim=8)"
        assert sklearn.__version__


def both_families(num_rows: int) -> pd.DataFrame:
    """Return normal rows, every tenth of them with an IPv6 address of its entity."""
    rows = frame(num_rows)
    sixth = rows.iloc[::10]
    addresses = [f"2a00:{int(user.removeprefix('user_')) + 16:x}::{at:x}" for at, user in enumerate(sixth["user"])]
    rows.loc[sixth.index, "address"] = addresses
    return rows


class TestHistory:
    """Estimators that keep the pairs of their training data."""

    def test_the_bytes_are_those_of_the_command(self, tmp_path: Path) -> None:
        """The file with a bounded history of both families is the command's, for every kind of data."""
        rows, file = both_families(300), tmp_path / "train.csv"
        rows.to_csv(file, header=False, index=False)
        options: dict[str, Any] = {"keep_history": True, "ipv6": True, "history_rows_per_entity": 20}
        models = [IPInsights(**QUICK, **options).fit(data) for data in (rows, rows.to_numpy(), file)]
        contents = {model.save(tmp_path / str(at)).read_bytes() for at, model in enumerate(models)}
        assert run_command(
            "train", "--train", file, "--model-dir", tmp_path / "cli", "--quiet", "--keep-history", "--ipv6",
            "--history-rows-per-entity", 20, *(f"-H{name}={value}" for name, value in models[0].hyperparameters_.items()
            if not name.startswith("_")),
        ).returncode == 0  # fmt: skip
        assert contents == {(tmp_path / "cli" / "model_algo-1").read_bytes()}

    def test_what_a_model_reports_repeats_it(self, tmp_path: Path) -> None:
        """``hyperparameters_`` repeat a fit, and have those of a history only if it is kept."""
        model = IPInsights(**QUICK, keep_history=True, history_rows_per_entity=9).fit(TRAIN)
        found = {name: value for name, value in model.hyperparameters_.items() if name.startswith("_")}
        assert found == {"_keep_history": "true", "_history_rows_per_entity": "9", "_ipv6": "false"}
        again = IPInsights.from_sagemaker(model.hyperparameters_, random_state=0, progress=False)
        assert (again.keep_history, again.history_rows_per_entity, again.ipv6) == (True, 9, False)
        first = model.save(tmp_path / "a").read_bytes()
        assert again.fit(TRAIN).save(tmp_path / "b").read_bytes() == first
        loaded = IPInsights.load(tmp_path / "a")
        assert (loaded.keep_history, loaded.history_rows_per_entity, loaded.ipv6) == (True, 9, False)
        assert not [name for name in IPInsights(**QUICK).fit(TRAIN).hyperparameters_ if name.startswith("_")]

    def test_a_history_changes_no_score_of_the_network(self) -> None:
        """The default scorer is the dot product, with or without a history."""
        plain, kept = (IPInsights(**QUICK, keep_history=keep).fit(TRAIN) for keep in (False, True))
        assert np.array_equal(plain.score_samples(TRAIN), kept.score_samples(TRAIN))
        assert kept.artifact_.history is not None

    def test_validation_is_measured_on_ipv4(self) -> None:
        """IPv6 rows of validation data are accepted and left out."""
        rows = both_families(100)
        options = {**QUICK, "keep_history": True, "ipv6": True}
        only_ipv4 = rows[~rows["address"].str.contains(":")]
        both, ipv4 = (IPInsights(**options).fit(TRAIN, validation=data).history_ for data in (rows, only_ipv4))
        assert both["validation_auc"].tolist() == ipv4["validation_auc"].tolist()

    def test_rows_of_ipv6_alone(self) -> None:
        """The network is not trained, and the history scores."""
        rows = [("a", "2a00::1"), ("a", "2a00::2"), ("b", "2a00:1::1")]
        model = IPInsights(**QUICK, keep_history=True, ipv6=True, scorer="history").fit(rows)
        scores = model.score_samples([("a", "2a00::3"), ("a", "2a00:1::3")])
        assert scores[0] > scores[1]

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"scorer": "counting"}, "The scorer must be 'dot_product' or 'history'. Got 'counting'."),
            ({"scorer": "history"}, "scorer 'history' needs a history: set keep_history to True, or leave it out."),
            ({"ipv6": True}, "ipv6 needs a history: set keep_history to True, or leave it out."),
            (
                {"history_rows_per_entity": 5},
                "history_rows_per_entity needs a history: set keep_history to True, or leave it out.",
            ),
            ({"keep_history": "true"}, "keep_history must be True or False. Got 'true'."),
            (
                {"keep_history": True, "history_rows_per_entity": 0},
                "history_rows_per_entity must be a positive integer or None. Got 0.",
            ),
        ],
    )
    def test_invalid_parameters(self, parameters: dict[str, Any], message: str) -> None:
        """Invalid parameters of the history are refused before anything is trained."""
        with pytest.raises(InvalidValueError) as caught:
            IPInsights(**QUICK, **parameters).fit(TRAIN)
        assert str(caught.value) == message

    def test_ipv6_rows_without_the_parameter(self) -> None:
        """Refused with their place, as ever, and so are addresses that say nothing of a place."""
        with pytest.raises(RowsError) as caught:
            IPInsights(**QUICK, keep_history=True).fit([("a", "2a00::1")])
        assert str(caught.value) == (
            "row 0 of X: '2a00::1' is no IPv4 address: it looks like IPv6; leave such rows out."
        )
        with pytest.raises(RowsError) as caught:
            IPInsights(**QUICK, keep_history=True, ipv6=True).fit([("a", "fe80::1")])
        assert str(caught.value) == (
            "row 0 of X: 'fe80::1' is not an address that can be used: it is link-local, and other networks have the "
            "same address."
        )
