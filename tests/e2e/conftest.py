"""What all end-to-end tests share: the program, a home of its own, and a model to talk to."""

import pytest
from server_process import ServerProcess
from squish_program import BASE_MODEL, BUILD, CHAT_MODEL, Squish, built, give_model, model_or_skip


@pytest.fixture(scope="session")
def program():
    return built(BUILD / "squish")


@pytest.fixture
def squish(program, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return Squish(program, home)


@pytest.fixture(scope="session")
def chat_model():
    return model_or_skip(CHAT_MODEL)


@pytest.fixture(scope="session")
def base_model():
    return model_or_skip(BASE_MODEL)


@pytest.fixture
def local_model(squish, chat_model):
    """The chat model as the only one of this home's models directory; its name."""
    give_model(squish.home, chat_model)
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
