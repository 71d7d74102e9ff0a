"""Files that are no models: one line, code 1, at once."""

import os
import struct
import subprocess
import time

import pytest


def check(squish, path, *says):
    for words in (["run", path, "hello"], ["show", path], ["tokenize", path, "hello"], ["bench", path, "-r", "1"]):
        begin = time.monotonic()
        result = squish(*words, timeout=20)
        assert result.returncode == 1, (words, result.returncode, result.stderr)
        lines = result.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("✗ "), result.stderr
        for text in (path.name, *says):
            assert text in lines[0], lines[0]
        assert result.stdout == ""
        assert time.monotonic() - begin < 10


def test_an_empty_file(squish, tmp_path):
    path = tmp_path / "empty.gguf"
    path.touch()
    check(squish, path)


def test_a_directory_that_is_called_gguf(squish, tmp_path):
    path = tmp_path / "folder.gguf"
    path.mkdir()
    check(squish, path)


def test_a_fifo_is_not_waited_for(squish, tmp_path):
    path = tmp_path / "pipe.gguf"
    os.mkfifo(path)
    check(squish, path)


def test_a_text_file(squish, tmp_path):
    path = tmp_path / "notes.gguf"
    path.write_text("this is no model\n" * 100)
    check(squish, path)


def test_a_file_that_does_not_exist(squish, tmp_path):
    result = squish("run", tmp_path / "absent.gguf", "hello")
    assert result.returncode == 1 and "absent.gguf" in result.stderr


def test_a_file_that_may_not_be_read(squish, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "secret.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    check(squish, path)


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.9])
def test_a_truncated_model(squish, tmp_path, chat_model, share):
    size = chat_model.stat().st_size
    path = tmp_path / "short.gguf"
    with open(chat_model, "rb") as source:
        path.write_bytes(source.read(int(size * share)))
    check(squish, path)


@pytest.mark.parametrize("offset, value", [(4, 99), (8, 2**63), (16, 2**63)])
def test_a_hostile_header(squish, tmp_path, chat_model, offset, value):
    with open(chat_model, "rb") as source:
        data = bytearray(source.read(1 << 20))
    data[offset : offset + (4 if offset == 4 else 8)] = struct.pack("<I" if offset == 4 else "<Q", value)
    path = tmp_path / "hostile.gguf"
    path.write_bytes(data)
    check(squish, path)


def test_a_name_with_control_characters_does_not_reach_the_terminal(squish, tmp_path):
    result = squish("run", "\x1b]0;owned\x07", "hello")
    assert result.returncode == 1
    assert "\x1b" not in result.stderr and "\x07" not in result.stderr
