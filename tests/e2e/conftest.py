"""What all end-to-end tests share: the program, a home of its own, and a model to talk to."""

import os
import pathlib
import pty
import select
import signal
import subprocess
import time

import pytest
from server_process import ServerProcess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SQUISH_BUILD_DIR", ROOT / "build" / "release"))
MODELS = pathlib.Path(os.environ.get("SQUISH_TEST_MODELS", pathlib.Path.home() / ".cache" / "squish-test-models"))
CHAT_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
BASE_MODEL = "gemma-3-270m.Q4_K_M.gguf"

COLOR_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLORFGBG", "TERM_PROGRAM", "SQUISH_DARK_BG", "CLICOLOR")


class Squish:
    """Runs the program with a home directory of its own and without a network."""

    def __init__(self, program: pathlib.Path, home: pathlib.Path):
        self.program = program
        self.home = home
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SQUISH_") and k not in COLOR_VARIABLES}
        self.environment |= {
            "HOME": str(home),
            "SQUISH_HOME": str(home / "squish"),
            "SQUISH_OFFLINE": "1",
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
        }

    def __call__(self, *words, stdin=None, timeout=120, env=None):
        """One run; `stdin` None is an empty input. Returns the finished process with text output."""
        return subprocess.run(
            [self.program, *map(str, words)],
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment | (env or {}),
        )

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


@pytest.fixture(scope="session")
def program():
    path = BUILD / "squish"
    if not path.exists():
        pytest.skip(f"{path} is not built; SQUISH_BUILD_DIR names another build directory")
    return path


@pytest.fixture
def squish(program, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Squish(program, home)


def model_or_skip(name):
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"{path} is absent; SQUISH_TEST_MODELS names a directory with the test models")
    return path


@pytest.fixture(scope="session")
def chat_model():
    return model_or_skip(CHAT_MODEL)


@pytest.fixture(scope="session")
def base_model():
    return model_or_skip(BASE_MODEL)


@pytest.fixture
def local_model(squish, chat_model):
    """The chat model as the only one of this home's models directory; its name."""
    directory = squish.home / "squish" / "models" / "smollm2-135m"
    directory.mkdir(parents=True)
    (directory / CHAT_MODEL).hardlink_to(chat_model) if os.stat(directory).st_dev == os.stat(
        chat_model
    ).st_dev else (directory / CHAT_MODEL).write_bytes(chat_model.read_bytes())
    return "smollm2:135m"


SERVER_KEY = "test-key"


@pytest.fixture(scope="session")
def server(program, chat_model, tmp_path_factory):
    """One server for all tests that only ask: `.base`, `.key` and `.model` are what a client needs."""
    home = tmp_path_factory.mktemp("server-home")
    process = ServerProcess(Squish(program, home), chat_model, model="smollm2:135m", key=SERVER_KEY)
    yield process
    assert process.stop() == 0, process.log[-2000:]


@pytest.fixture
def start_server(squish):
    """Starts further servers; what is still running at the end of the test is ended."""
    running = []

    def start(*words, **options):
        running.append(ServerProcess(squish, *words, **options))
        return running[-1]

    yield start
    for process in running:
        process.stop()
