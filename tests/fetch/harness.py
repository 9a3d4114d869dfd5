"""What the checks of tests/fetch stand on: a daemon, the fetcher, servers of one process, and what was found."""

import http.client, http.server, json, os, pathlib, socket, subprocess, sys, threading, time, urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / os.environ.get("PROFILE", "debug")
PATIENCE = 60
SEAL = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee01"
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001


class Processes:
    """What was started, and the directory that all of it uses."""

    def __init__(self, work):
        self.work, self.running = work, []
        (work / "sources.d").mkdir()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process in list(self.running):
            self.stop(process)
        if error:
            for log in sorted(self.work.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-6000:]}", file=sys.stderr)

    def start(self, name, command, **options):
        log = open(self.work / f"{name}.log", "a")
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)
        self.running.append(process)
        return process

    def stop(self, process):
        self.running.remove(process)
        process.kill()
        process.wait()

    def file(self, name, text):
        path = self.work / name
        path.write_text(text)
        return path

    def secret_file(self, name, text):
        path = self.file(name, text)
        path.chmod(0o600)
        return path


class Daemon:
    def __init__(self, processes):
        self.processes = processes
        self.signer, self.fetch = processes.work / "signer.sock", processes.work / "fetch.sock"
        seal, state = processes.secret_file("seal", SEAL), processes.work / "state"
        subprocess.run([TARGET / "bls-signer", "slashing-protection", "init", "--state-dir", state], check=True, stdout=subprocess.DEVNULL)
        self.command = [TARGET / "bls-signer", "serve", "--network", "minimal", "--listen", f"all=unix:{self.signer}", "--fetch-socket",
                        self.fetch, "--fetch-user", str(os.getuid()), "--seal-file", seal, "--state-dir", state]
        self.start()

    def start(self):
        self.process = self.processes.start("daemon", self.command)
        wait("the daemon serves", lambda: self.is_ready(), pause=0.005)

    def restart(self):
        self.processes.stop(self.process)
        self.start()

    def is_ready(self):
        try:
            return bool(self.get("/healthcheck"))
        except OSError:
            return False

    def ask(self, method, path):
        connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.signer))
        connection.request(method, path, headers={"Host": "localhost"})
        return json.loads(connection.getresponse().read())

    def get(self, path):
        return self.ask("GET", path)

    def reload(self):
        self.ask("POST", "/reload")

    def keys(self):
        return self.get("/api/v1/eth2/publicKeys")

    def sources(self):
        checks = {check["id"]: check.get("data", {}) for check in self.get("/healthcheck")["checks"]}
        shown = checks.get("fetch-check", {})
        return {name.removeprefix("source "): said for name, said in shown.items() if name.startswith("source ")}

    def trouble(self, name):
        return self.sources()[name].get("error", "").split(":")[0]


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, body, status=200, headers={}):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def json(self, value, status=200, headers={}):
        self.answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **headers})


def form_of(handler):
    """What a request has as a form; each name once."""
    assert handler.headers["Content-Type"] == "application/x-www-form-urlencoded", handler.headers["Content-Type"]
    text = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
    members = urllib.parse.parse_qsl(text, keep_blank_values=True, strict_parsing=True)
    assert len(dict(members)) == len(members), text
    return dict(members)


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    # Who was told too much hangs up.
    server.handle_error = lambda *arguments: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def secret(number):
    return f"{(number * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276BF3A27251F86C6A11D0C18E95) % ORDER:064x}"


def source(processes, name, text):
    (processes.work / "sources.d" / f"{name}.toml").write_text(text)


def unsource(processes, name):
    (processes.work / "sources.d" / f"{name}.toml").unlink()


def retire(processes, daemon, *names):
    """All keys of these sources leave."""
    for name in names:
        source(processes, name, 'type = "retired"\n')
    once(processes, daemon)
    for name in names:
        unsource(processes, name)


def arguments(processes, daemon):
    return ["--sources", processes.work / "sources.d", "--socket", daemon.fetch]


def once(processes, daemon, fails=False):
    ended = subprocess.run([str(word) for word in [TARGET / "bls-signer-fetch", "once", *arguments(processes, daemon)]],
                           stderr=subprocess.PIPE, text=True, timeout=4 * PATIENCE)
    assert (ended.returncode != 0) == fails, f"the fetcher ended with {ended.returncode}: {ended.stderr}"
    return ended.stderr


def expect(what, wanted, found):
    assert wanted == found, f"{what}: {found} instead of {wanted}"
    print(f"  {what}: as it should be")


def wait(what, is_so, pause=0.05):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"it does not come to this: {what}"
        time.sleep(pause)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
