from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from mlpipe import errors
from mlpipe.registry import artifacts

X = np.arange(20.0).reshape(-1, 1)


def build(folder: Path) -> dict[str, str]:
    """Lay out a version's folder; return the digests of its files."""
    folder.mkdir(parents=True)
    tree = DecisionTreeClassifier(random_state=0).fit(X, X[:, 0] > 9)
    artifacts.dump_model(tree, folder / artifacts.MODEL)
    artifacts.dump_arrays({"X": X, "scores": tree.predict_proba(X)}, folder / artifacts.SMOKE)
    artifacts.dump_arrays({"X": X}, folder / artifacts.REFERENCE)
    artifacts.write_manifest({"libraries": artifacts.libraries()}, folder)
    return artifacts.digests(folder)


def test_what_was_published_is_loaded(tmp_path: Path) -> None:
    files = build(tmp_path / "built")
    artifacts.publish(tmp_path / "built", tmp_path / "models" / "1")
    found = artifacts.load(tmp_path / "models" / "1", files)
    assert np.array_equal(found.estimator.predict_proba(found.smoke_X), found.smoke_scores)
    assert np.array_equal(artifacts.load_reference(tmp_path / "models" / "1", files)["X"], X)
    assert not (tmp_path / "built").exists()


def test_only_the_owner_can_read_a_version(tmp_path: Path) -> None:
    build(tmp_path / "built")
    artifacts.publish(tmp_path / "built", tmp_path / "1")
    assert (tmp_path / "1").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "1").iterdir()} == {0o600}


def test_a_folder_that_a_crash_left_gives_way(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "half").write_text("x")
    files = build(tmp_path / "built")
    artifacts.publish(tmp_path / "built", tmp_path / "1")
    assert artifacts.digests(tmp_path / "1") == files


@pytest.mark.parametrize("name", [artifacts.MODEL, artifacts.MANIFEST, artifacts.SMOKE])
def test_an_altered_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    files = build(tmp_path / "1")
    path = tmp_path / "1" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(errors.ArtifactCorrupt, match=f"1/{name} is not the file that was registered"):
        artifacts.load(tmp_path / "1", files)


@pytest.mark.parametrize("name", [artifacts.MODEL, artifacts.MANIFEST, artifacts.SMOKE])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    files = build(tmp_path / "1")
    (tmp_path / "1" / name).unlink()
    with pytest.raises(errors.ArtifactCorrupt, match=f"1/{name} cannot be read"):
        artifacts.load(tmp_path / "1", files)


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    files = build(tmp_path / "1")
    del files[artifacts.MODEL]
    with pytest.raises(errors.ArtifactCorrupt):
        artifacts.load(tmp_path / "1", files)


def test_an_altered_reference_is_refused(tmp_path: Path) -> None:
    files = build(tmp_path / "1")
    (tmp_path / "1" / artifacts.REFERENCE).write_bytes(b"")
    with pytest.raises(errors.ArtifactCorrupt, match="reference"):
        artifacts.load_reference(tmp_path / "1", files)


def test_another_scikit_learn_is_refused_before_unpickling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = build(tmp_path / "1")
    monkeypatch.setattr(artifacts.sklearn, "__version__", "0.1")
    monkeypatch.setattr(artifacts.joblib, "load", lambda _: pytest.fail("was unpickled"))
    with pytest.raises(errors.ArtifactCorrupt, match="was fitted with scikit-learn"):
        artifacts.load(tmp_path / "1", files)


def test_other_answers_than_the_stored_ones_are_refused(tmp_path: Path) -> None:
    found = artifacts.load(tmp_path / "1", build(tmp_path / "1"))
    artifacts.check_answers(found, found.smoke_scores, name="1")
    for scores in (found.smoke_scores + 1e-9, found.smoke_scores[:, :1], found.smoke_scores * np.nan):
        with pytest.raises(errors.ArtifactCorrupt, match="answers otherwise"):
            artifacts.check_answers(found, scores, name="1")


def test_folders_without_a_row_are_put_aside_and_nothing_else(tmp_path: Path) -> None:
    for name in ("1", "2", "10", ".fit-x", "notes", "3x"):
        (tmp_path / name).mkdir()
    assert artifacts.tidy(tmp_path, {1}) == ["10", "2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".fit-x", ".orphans", "1", "3x", "notes"]
    assert len(list((tmp_path / ".orphans").iterdir())) == 2


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        artifacts.load_arrays(tmp_path / "x.npz")
