"""The folder of test data is found from a git worktree, too."""
import subprocess

import pytest
import shared_folder


@pytest.fixture
def worktree(tmp_path):
    """A repository in one folder and a worktree of it in another."""
    main, worktree = tmp_path / "main", tmp_path / "elsewhere" / "worktree"
    git = ["git", "-c", "user.name=Nobody", "-c", "user.email=nobody@localhost"]
    subprocess.run([*git, "init", "-q", main], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "begin"], cwd=main, check=True)
    subprocess.run([*git, "worktree", "add", "-q", worktree], cwd=main, check=True)
    return worktree


def test_a_worktree_finds_the_folder_beside_its_checkout(tmp_path, worktree):
    (tmp_path / "shared").mkdir()
    assert shared_folder.find(worktree, {}) == tmp_path / "shared"
    assert shared_folder.find(tmp_path / "main", {}) == tmp_path / "shared"


def test_the_folder_beside_the_worktree_comes_first_and_the_variable_before_all(tmp_path, worktree):
    (tmp_path / "shared").mkdir()
    (worktree.parent / "shared").mkdir()
    assert shared_folder.find(worktree, {}) == worktree.parent / "shared"
    assert shared_folder.find(worktree, {"SQUISH_SHARED": "/named"}).as_posix() == "/named"


def test_without_any_it_names_the_one_beside(worktree):
    assert shared_folder.find(worktree, {}) == worktree.parent / "shared"
