"""Where the folder `shared` with test data and the tools that fetch models is. It is no part of the repository: $SQUISH_SHARED names
it (./dev sets it for what it runs), or it lies beside the checkout, or beside the checkout whose git worktree this is."""
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def checkout_of(root):
    """Where the repository of a worktree is checked out; nothing where git cannot tell."""
    command = ["git", "rev-parse", "--path-format=absolute", "--git-common-dir"]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return pathlib.Path(found.stdout.strip()).parent


def find(root=ROOT, environment=os.environ):
    """The folder; the one beside `root`, which does not exist then, where there is none."""
    if environment.get("SQUISH_SHARED"):
        return pathlib.Path(environment["SQUISH_SHARED"])
    beside = root.parent / "shared"
    if beside.is_dir():
        return beside
    checkout = checkout_of(root)
    other = checkout.parent / "shared" if checkout else beside
    return other if other.is_dir() else beside


SHARED = find()
HOW = "set SQUISH_SHARED to the folder that has data/ and tools/, or put it beside the checkout as shared/"
