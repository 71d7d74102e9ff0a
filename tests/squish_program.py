"""How tests run the program: in a home of its own, on a terminal, with the test models. Both suites of Python tests import it."""

import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("SQUISH_BUILD_DIR", ROOT / "build" / "release"))
MODELS = pathlib.Path(os.environ.get("SQUISH_TEST_MODELS", pathlib.Path.home() / ".cache" / "squish-test-models"))
CHAT_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
BASE_MODEL = "gemma-3-270m.Q4_K_M.gguf"

COLOR_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLORFGBG", "TERM_PROGRAM", "SQUISH_DARK_BG", "CLICOLOR")


class Squish:
    """Runs the program with a home directory of its own and without a network."""

    def __init__(self, program: pathlib.Path, home: pathlib.Path, timeout=120):
        self.program = program
        self.timeout = timeout
        self.home = home
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SQUISH_") and k not in COLOR_VARIABLES}
        self.environment |= {
            "HOME": str(home),
            "SQUISH_HOME": str(home / "squish"),
            "SQUISH_OFFLINE": "1",
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
        }

    def __call__(self, *words, stdin=None, timeout=None, env=None):
        """One run; `stdin` None is an empty input. Returns the finished process with text output."""
        return subprocess.run(
            [self.program, *map(str, words)],
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=timeout or self.timeout,
            env=self.environment | (env or {}),
        )

    def json(self, *words, **options):
        """One run with --json that must succeed; its answer."""
        result = self(*words, "--json", **options)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def start(self, *words, **options):
        return subprocess.Popen([self.program, *map(str, words)], env=self.environment, **options)

    def terminal(self, *words, env=None):
        return Terminal([str(self.program), *map(str, words)], self.environment | (env or {}))


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command, environment):
        self.output = ""
        self.code = None
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, environment)

    def send(self, text):
        os.write(self.descriptor, text.encode())

    def interrupt(self):
        self.send("\x03")

    def wait_for(self, text, timeout=60):
        """Reads until `text` is in what was not waited for yet; returns what came up to its end."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; got {self.output!r}"
            if not self._read(left):
                assert text in self.output, f"ended without {text!r}; got {self.output!r}"
        end = self.output.index(text) + len(text)
        before, self.output = self.output[:end], self.output[end:]
        return before

    def wait_for_end(self, timeout=30):
        """The exit code. What came meanwhile is in `output`."""
        deadline = time.monotonic() + timeout
        while self._read(max(0.0, deadline - time.monotonic())):
            assert time.monotonic() < deadline, f"still running; got {self.output!r}"
        _, status = os.waitpid(self.pid, 0)
        os.close(self.descriptor)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def kill(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.descriptor)

    def _read(self, timeout):
        ready, _, _ = select.select([self.descriptor], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:
            return False
        self.output += data.decode(errors="replace")
        return bool(data)


def give_model(home, model, name="smollm2-135m"):
    """Puts `model` into the models directory of `home`, as the only one there."""
    directory = home / "squish" / "models" / name
    directory.mkdir(parents=True)
    try:
        (directory / model.name).hardlink_to(model)
    except OSError:  # another file system
        (directory / model.name).write_bytes(model.read_bytes())


def built(path):
    if not path.exists():
        pytest.skip(f"{path} is not built; SQUISH_BUILD_DIR names another build directory")
    return path


def model_or_skip(name):
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"{path} is absent; SQUISH_TEST_MODELS names a directory with the test models")
    return path
