"""The models that the quality and speed tables are about, where they lie, and how to get them."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from shared_folder import SHARED  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
DIRECTORY = pathlib.Path(os.environ.get("SQUISH_TEST_MODELS", pathlib.Path.home() / ".cache" / "squish-test-models"))
MODELS = {
    "smollm2": ("SmolLM2-135M-Instruct Q4_1", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "gemma3": ("Gemma-3-270M Q4_K_M", "gemma-3-270m.Q4_K_M.gguf"),
    "coder-0.5b": ("Qwen2.5-Coder-0.5B Q4_K_M", "Qwen2.5-Coder-0.5B-Instruct.Q4_K_M.gguf"),
    "coder-1.5b": ("Qwen2.5-Coder-1.5B Q4_K_M", "Qwen2.5-Coder-1.5B-Instruct.Q4_K_M.gguf"),
}


def find(names):
    """[(name, title, path)] of the models that are here; fetches missing ones where the shared tool is."""
    found = []
    for name in names or MODELS:
        if name not in MODELS:
            sys.exit(f"no model '{name}'; the names are {', '.join(MODELS)}")
        title, file = MODELS[name]
        path = DIRECTORY / file
        tool = SHARED / "tools" / "models.sh"
        if not path.exists() and tool.exists():
            subprocess.run(["bash", str(tool), str(DIRECTORY), name], check=True, stdout=subprocess.DEVNULL)
        if path.exists():
            found.append((name, title, path))
        else:
            print(f"skipped {title}: {path} is not there", file=sys.stderr)
    return found
