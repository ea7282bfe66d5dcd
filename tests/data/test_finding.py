import unicodedata

import pytest
from PIL import Image

from bioautoml_nni.data.finding import ImageFinder


@pytest.fixture
def root(tmp_path):
    for name in ("a/1.png", "b/1.PNG", "Käfer 2.jpg", " lead.png", "x#1.png", "y?z.png", "plot::3.png",
                 "deep/er/only.png", "n%20o.png", "same/Twin.png", "same/twin.png"):  # fmt: skip
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    return tmp_path / "root"


@pytest.mark.parametrize(
    "name", ["a/1.png", " lead.png", "x#1.png", "y?z.png", "plot::3.png", "n%20o.png", "a/1.png#1,2,3,4"]
)
def test_what_is_there_is_itself(root, name):
    finder = ImageFinder(root)
    assert finder.find(name) == name and not finder.notes()


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (" a/1.png ", "a/1.png"),
        ("a\\1.png", "a/1.png"),
        ("C:\\photos\\deep\\er\\only.png", "deep/er/only.png"),
        ("/home/ann/photos/a/1.png", "a/1.png"),
        ("b/1.png", "b/1.PNG"),
        ("A/1.PNG", "a/1.png"),
        ("K%C3%A4fer%202.jpg", "Käfer 2.jpg"),
        (unicodedata.normalize("NFD", "Käfer 2.jpg"), "Käfer 2.jpg"),
        ("a/1.png?size=large", "a/1.png"),
        ("deep/er/only", "deep/er/only.png"),
        ("A/1.png#1,2,3,4", "a/1.png#1,2,3,4"),
    ],
)
def test_other_spellings_are_found_by_a_rule_that_is_counted(root, written, found):
    finder = ImageFinder(root)
    assert finder.find(written) == found
    assert len(finder.notes()) == 1 and finder.notes()[0].startswith("1 images found ")


def test_an_absolute_path_below_the_root_is_found_and_one_outside_is_not(root, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "only.png")
    finder = ImageFinder(root)
    assert finder.find(str(root.resolve() / "a/1.png")) == "a/1.png"
    assert finder.find(str(tmp_path / "only.png")) == str(tmp_path / "only.png")  # and refused when it is read
    assert finder.find("../only.png") == "../only.png"


@pytest.mark.parametrize("name", ["SAME/TWIN.PNG", "/elsewhere/1.png", "D:\\1.png"])
def test_of_several_candidates_none_is_taken(root, name):
    finder = ImageFinder(root)
    assert finder.find(name) == name and "could mean several files" in finder.notes()[0]


@pytest.mark.parametrize("name", ["none.png", "", " ", "a\0b", "x" * 400])
def test_what_is_not_there_stays_as_it_is_written(root, name):
    assert ImageFinder(root).find(name) == name


@pytest.mark.parametrize("written", ["a/1.png;x#1.png", "a/1.png | x#1.png", "a/1.png, x#1.png;"])
def test_of_several_images_in_a_cell_the_first_is_taken_and_the_others_are_said(root, written):
    finder = ImageFinder(root)
    assert finder.find(written) == finder.find("a/1.png") == "a/1.png"
    (note,) = finder.notes()
    assert f"cells name several images, such as {written!r}" in note and "1 others are not used" in note
    assert finder.find("a/1.png; none.png") == "a/1.png; none.png", "which is not known to be a list"


def test_of_several_paths_with_one_end_none_is_taken_for_a_whole_table(root):
    """Cards number their images from 1 again; one file is none of two specimens."""
    texts = ["C:\\trap 1\\only.png", "D:\\trap 2\\ONLY.png", "/x/deep/er/only.png", "a/1.png", "C:\\card\\a\\1.png"]
    finder = ImageFinder(root)
    assert finder.find_apart(texts) == [*texts[:4], "a/1.png"]
    said = " ".join(finder.notes())
    assert "3 image names could mean several files" in said and "1 images found by the end of its path" in said
    finder = ImageFinder(root)
    without = ["/card 1/only", "/card 2/only", "/card 1/a/1.png"]
    assert finder.find_apart(without) == [*without[:2], "a/1.png"] and min(finder.used.values()) == 0
    boxes = ["C:\\trap 1\\only.png#1,2,3,4", "c:/Trap 1/only.png#0,0,2,2"]
    assert ImageFinder(root).find_apart(boxes) == ["deep/er/only.png#1,2,3,4", "deep/er/only.png#0,0,2,2"]


def test_rows_by_themselves_say_which_paths_have_one_end(root):
    finder = ImageFinder(root)
    assert (
        finder.find_all(["C:\\trap 1\\only.png"]) == finder.find_all(["D:\\trap 2\\only.png"]) == ["deep/er/only.png"]
    )
    assert "1 images are found by the end of several paths, such as 'C:/trap 1/only.png' and" in " ".join(
        finder.notes()
    )
