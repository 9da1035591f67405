"""The key's way to a cluster behind nemo-run's SSHTunnel, over a real SSH connection (paramiko at both ends)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.test_launcher_executors import KEY, InNemoRun
from tests.integration.test_launcher_executors import environ as environ
from tests.integration.test_launcher_executors import forks as forks
from tests.integration.test_launcher_executors import in_nemo_run as in_nemo_run

pytestmark = pytest.mark.xdist_group("nemo-run")

SERVER = """
import paramiko, socket, subprocess, threading

user_key = paramiko.RSAKey.generate(2048)
user_key.write_private_key_file("id_rsa")
commands = []

class Server(paramiko.ServerInterface):
    def check_auth_publickey(self, user, key):
        return paramiko.AUTH_SUCCESSFUL if key == user_key else paramiko.AUTH_FAILED

    def get_allowed_auths(self, user):
        return "publickey"

    def check_channel_request(self, kind, channel):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        commands.append(command.decode())
        threading.Thread(target=run, args=(channel, command.decode()), daemon=True).start()
        return True

def run(channel, command):
    process = subprocess.Popen(["sh", "-c", command], stdin=-1, stdout=-1, stderr=-1)
    threading.Thread(target=feed, args=(channel, process.stdin), daemon=True).start()
    output, errors = process.stdout.read(), process.stderr.read()
    channel.sendall(output)
    channel.sendall_stderr(errors)
    channel.send_exit_status(process.wait())
    channel.close()

def feed(channel, stdin):
    try:
        while data := channel.recv(1024):
            stdin.write(data)
            stdin.flush()
    except OSError:
        pass

def serve(listener, host_key):
    while True:
        transport = paramiko.Transport(listener.accept()[0])
        transport.add_server_key(host_key)
        transport.start_server(server=Server())

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener, paramiko.RSAKey.generate(2048)), daemon=True).start()

def build_there(folder):
    profile = {"executor": "slurm", "account": "a", "host": "127.0.0.1", "user": "me", "identity": "id_rsa",
               "port": listener.getsockname()[1], "remote_job_dir": folder}
    return build_executor(profile, env={"WANDB_PROJECT": "p"}, verify=False)
"""


def test_the_key_travels_on_standard_input_into_a_private_file(in_nemo_run: InNemoRun, tmp_path: Path) -> None:
    program = """
executor = build_there(os.path.abspath("shared"))
path = executor.env_vars["WANDB_API_KEY_FILE"]
answer({"path": path, "commands": commands, "dump": repr(executor), "connected": bool(executor.tunnel.session)})
"""
    seen = in_nemo_run(SERVER + program)
    path = Path(seen["path"])
    assert path.read_text() == KEY + "\n"
    assert path.parent.parent == tmp_path / "shared" / ".wandb-shim"
    modes = [oct(item.stat().st_mode & 0o777) for item in (path, path.parent, path.parent.parent)]
    assert modes == ["0o600", "0o700", "0o700"]
    assert len(seen["commands"]) == 1
    assert KEY not in json.dumps(seen)
    assert not seen["connected"], "the executor's own tunnel is left as it was"


def test_what_the_cluster_says_is_in_the_error(environ: dict[str, str], tmp_path: Path, in_nemo_run: InNemoRun) -> None:
    program = """
from launcher.errors import LauncherError
def attempt(folder):
    try:
        build_there(folder)
    except LauncherError as error:
        return str(error)
refused = attempt("/proc/nowhere")
user_key.__class__.generate(2048).write_private_key_file("id_rsa")
answer([refused, attempt("/tmp")])
"""
    refused, foreign = in_nemo_run(SERVER + program)
    assert "the key file could not be written into /proc/nowhere/.wandb-shim: me@127.0.0.1: mkdir:" in refused
    assert "me@127.0.0.1: the login is refused" in foreign
    assert KEY not in refused + foreign
