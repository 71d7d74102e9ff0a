"""`squish compress --device`: refusals where there is no GPU, the same bytes where there is one."""

import hashlib
import json

import pytest
from test_compress import compress, tiny  # noqa: F401 a fixture


def sq2(squish, model, output, *more):
    return compress(squish, model, "--format", "sq2", "--compare-tokens", "0", "-o", output, *more)



def why_no_gpu(squish, model, tmp_path):
    result = squish("compress", model, "--format", "sq2", "--device", "cuda", "--dry-run", "-o", tmp_path / "probe")
    return "" if result.returncode == 0 else result.stderr.strip()


def test_without_a_gpu_one_line_says_why_and_what_to_do(squish, tiny, tmp_path):  # noqa: F811
    # A machine with a GPU has none for a program that may see none.
    result = squish(
        "compress", tiny, "--format", "sq2", "--device", "cuda", "-o", tmp_path / "out", env={"CUDA_VISIBLE_DEVICES": ""}
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "--device cuda" in result.stderr and "use the cpu" in result.stderr
    reasons = ("built without CUDA", "no NVIDIA driver", "finds no GPU", "update it")
    assert any(reason in result.stderr for reason in reasons), result.stderr
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    "words, says",
    [
        (("--format", "int4", "--device", "cuda"), "int4 makes no trellis code"),
        (("--format", "sqint2", "--device", "cuda"), "sqint2 is made on the processor"),
        (("--format", "sq2", "--device", "tpu"), "device 'tpu' does not exist; use cpu or cuda"),
    ],
)
def test_devices_that_have_nothing_to_do_or_do_not_exist(squish, tiny, tmp_path, words, says):  # noqa: F811
    result = squish("compress", tiny, *words, "-o", tmp_path / "out")
    assert result.returncode == 2 and says in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_dry_run_names_the_device(squish, tiny, tmp_path):  # noqa: F811
    result = squish("compress", tiny, "--format", "sq2", "--device", "cpu", "--dry-run", "--json", "-o", tmp_path / "out")
    plan = json.loads(result.stdout)
    assert plan["device"] == "cpu" and plan["peak_device_bytes"] == 0


def test_a_gpu_writes_the_same_bytes(squish, tiny, tmp_path):  # noqa: F811
    reason = why_no_gpu(squish, tiny, tmp_path)
    if reason:
        pytest.skip(reason)
    hashes = {}
    for device in ("cpu", "cuda"):
        assert sq2(squish, tiny, tmp_path / device, "--device", device).returncode == 0
        files = sorted(path for path in (tmp_path / device).iterdir())
        hashes[device] = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    assert hashes["cpu"] == hashes["cuda"]
