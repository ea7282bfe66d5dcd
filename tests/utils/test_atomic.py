"""Files and folders appear whole or not at all, and what a kill leaves goes without taking anything of the user's."""

import pytest

from bioautoml_nni.utils.atomic import remove_leftovers, replacing, replacing_folder, write_text


def test_an_error_leaves_the_former_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "former")
    with pytest.raises(ValueError, match="broken"), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise ValueError("broken")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "former"}


def test_a_folder_is_exchanged_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "model"
    with replacing_folder(folder) as building:
        (building / "first.txt").write_text("1")
        assert not folder.exists()
    with pytest.raises(ValueError, match="broken"), replacing_folder(folder) as building:
        raise ValueError("broken")
    assert [path.name for path in folder.iterdir()] == ["first.txt"]
    with replacing_folder(folder) as building:
        (building / "second.txt").write_text("2")
    assert [path.name for path in folder.iterdir()] == ["second.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", [None, "out[1].csv"])
def test_leftovers_go_and_the_users_hidden_files_stay(name, tmp_path):
    with replacing(tmp_path / "out[1].csv") as temporary:
        left = temporary.name
    with replacing_folder(tmp_path / "out[1].csv.parts") as building:
        left_folder = building.name
    (tmp_path / left).write_text("half")
    (tmp_path / left_folder / "deeper").mkdir(parents=True)
    kept = [".config.settings.json", ".out[1].csv.abcdefgh.csv", ".DS_Store", "notes.txt"]
    for own in kept:
        (tmp_path / own).write_text("mine")
    remove_leftovers(tmp_path, name)
    here = {path.name for path in tmp_path.iterdir()} - {"out[1].csv", "out[1].csv.parts"}
    assert here == {*kept, left_folder} if name else here == set(kept)
