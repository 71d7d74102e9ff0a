"""Requests that Schemathesis makes up from /openapi.json never fail on the server's side."""

import os
import pathlib
import subprocess
import sys

# For each of about 60 routes. 20 take 53 s of processor time for the client alone, 5 fit into ./dev test.
EXAMPLES = 20 if "SQUISH_TEST_LOAD" in os.environ else 5


def test_no_request_made_up_from_the_document_is_a_server_error(start_server, chat_model, tmp_path):
    # A small context keeps answers short, whatever length a request asks for.
    server = start_server(chat_model, "--context", "128", key="k")
    command = [pathlib.Path(sys.executable).parent / "schemathesis", "run", f"{server.base}/openapi.json"]
    command += ["--header", "Authorization: Bearer k", "--checks", "not_a_server_error", "--max-examples", str(EXAMPLES)]
    command += ["--seed", "1", "--phases", "examples,fuzzing", "--request-timeout", "60", "--generation-database", "none", "--no-color"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-1000:]
    assert server.process.poll() is None
