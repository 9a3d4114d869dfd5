"""PostgreSQL clusters of the tests' own: a primary and a standby, in a temporary directory, on Unix sockets alone."""

import contextlib
import getpass
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

from wire import Connection, ServerError

# Longer than anything takes on a slow machine; only a test that fails waits for it.
PATIENCE_SECONDS = 90
DATABASE = "ledger"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SQL = os.path.join(ROOT, "src/ledger/postgres")
CHAIN = bytes([0x47]) * 32


def programs():
    """The directory of the programs of the version that $POSTGRESQL names (`15`), else of the newest."""
    found = glob.glob(f"/usr/lib/postgresql/{os.environ.get('POSTGRESQL', '*')}/bin")
    if not found:
        raise SystemExit("shared-ledger: PostgreSQL is missing: install Debian's package postgresql")
    return max(found, key=lambda path: int(path.split("/")[4]))


def until(condition, what):
    """Waits until a condition holds, and gives what it gave."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"it never came: {what}")


class Server:
    """One PostgreSQL server. What it writes is in `log`."""

    def __init__(self, pair, name):
        self.pair, self.name = pair, name
        self.data = os.path.join(pair.directory, name)
        self.sockets = os.path.join(pair.directory, f"{name}-socket")
        self.log = os.path.join(pair.directory, f"{name}.log")
        self.process, self.port = None, 5432
        os.mkdir(self.sockets)
        pair.give(self.sockets)

    @property
    def socket(self):
        return os.path.join(self.sockets, f".s.PGSQL.{self.port}")

    def initialize(self):
        self.pair.run("initdb", "--pgdata", self.data, "--auth", "trust", "--username", "postgres", "--no-sync",
                      "--encoding", "UTF8", "--locale", "C")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write("listen_addresses = ''\nshared_buffers = 16MB\nmax_connections = 60\nwal_keep_size = 256MB\n"
                       "wal_retrieve_retry_interval = 100ms\nlog_min_messages = warning\nmax_wal_size = 256MB\n")

    def copy_of(self, other):
        """Makes this the standby of another that runs."""
        shutil.rmtree(self.data, ignore_errors=True)
        source = f"host={other.sockets} user=postgres application_name={self.name}"
        self.pair.run("pg_basebackup", "--pgdata", self.data, "--write-recovery-conf", "--checkpoint=fast",
                      "--wal-method=stream", "--no-sync", "--dbname", source)

    def start(self):
        with open(self.log, "a") as log:
            self.process = self.pair.start(
                log, "postgres", "-D", self.data, "-c", f"unix_socket_directories={self.sockets}",
                "-c", f"cluster_name={self.name}")
        until(self.answers, f"server {self.name} answers, see {self.log}")

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log) as log:
                raise AssertionError(f"server {self.name} ended: {log.read()[-2000:]}")
        try:
            self.as_owner().close()
            return True
        except (OSError, ServerError):
            return False

    def as_owner(self, database="postgres"):
        return Connection(self.socket, "postgres", database, PATIENCE_SECONDS)

    def ask(self, statement, database="postgres"):
        """One statement of the superuser's."""
        connection = self.as_owner(database)
        try:
            return connection.query(statement)
        finally:
            connection.close()

    def set(self, name, value):
        """A setting, in force when this returns, for whoever asks next."""
        self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")
        until(lambda: self.ask(f"SELECT current_setting('{name}')") == [(value,)], f"{name} = {value}")

    def kill(self):
        """Ends it as a power loss would: no process of it has a last word."""
        if self.process is None:
            return
        # So that nothing is started meanwhile.
        self.process.send_signal(signal.SIGSTOP)
        children = self._children()
        self.process.kill()
        self.process.wait()
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        until(lambda: not any(_runs(child) for child in children), f"the processes of {self.name} are gone")
        self.process = None
        pid_file = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(pid_file):
            os.remove(pid_file)

    @contextlib.contextmanager
    def frozen(self):
        """No process of it does anything, while sockets stay open."""
        self.process.send_signal(signal.SIGSTOP)
        children = self._children()
        try:
            for child in children:
                os.kill(child, signal.SIGSTOP)
            yield
        finally:
            for child in [*children, self.process.pid]:
                os.kill(child, signal.SIGCONT)

    def _children(self):
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
                return [int(pid) for pid in file.read().split()]
        except OSError:
            return []

    def promote(self):
        self.ask("SELECT pg_promote(true, 60)")
        until(lambda: self.ask("SELECT pg_is_in_recovery()") == [("f",)], f"{self.name} takes writes")

    def cut_off(self):
        """No commit of its primary reaches this standby from now on."""
        self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask("SELECT pg_reload_conf()")
        until(lambda: self.ask("SELECT 1 FROM pg_stat_wal_receiver") == [], f"{self.name} is cut off")

    def processes_waiting_for_a_standby(self):
        """The commits that wait, as process ids."""
        rows = self.ask("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return [int(pid) for (pid,) in rows]


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Pair:
    """Two servers: `primary` and `standby` change places. `synchronous`: commits wait for the standby."""

    def __init__(self, synchronous=True, has_standby=True, chain=CHAIN):
        self.directory, self.user, self.programs = new_place()
        self.primary, self.standby = Server(self, "db1"), Server(self, "db2")
        try:
            self.primary.initialize()
            if synchronous:
                self._setting("synchronous_standby_names = 'ANY 1 (db1, db2, db3)'")
            self.primary.start()
            make_ledger(self.primary, chain)
            if has_standby:
                self.attach()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for server in (self.primary, self.standby):
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def attach(self):
        """Gives the primary a standby anew."""
        self.standby.kill()
        self.standby.copy_of(self.primary)
        self.standby.start()
        until(lambda: self.primary.ask("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"),
              f"{self.standby.name} streams")

    def fail_over(self):
        """The primary dies and its standby takes its place, without a standby so far."""
        self.primary.kill()
        self.standby.promote()
        self.swap()

    def swap(self):
        self.primary, self.standby = self.standby, self.primary

    def run(self, program, *arguments):
        done = subprocess.run([os.path.join(self.programs, program), *arguments], capture_output=True, text=True,
                              cwd=self.directory, **as_user(self.user))
        if done.returncode:
            raise AssertionError(f"{program}: {done.stderr}")

    def start(self, log, program, *arguments):
        return subprocess.Popen([os.path.join(self.programs, program), *arguments], stdout=log, stderr=log,
                                stdin=subprocess.DEVNULL, cwd=self.directory, start_new_session=True,
                                **as_user(self.user))

    def give(self, path):
        if os.geteuid() == 0:
            shutil.chown(path, self.user, self.user)

    def _setting(self, line):
        with open(os.path.join(self.primary.data, "postgresql.conf"), "a") as file:
            file.write(line + "\n")


def new_place():
    """A directory for servers, the user that they run as (PostgreSQL refuses root), and where its programs are."""
    found, user = programs(), "postgres" if os.geteuid() == 0 else getpass.getuser()
    directory = tempfile.mkdtemp(prefix="bls-signer-pg-")
    os.chmod(directory, 0o755)
    if os.geteuid() == 0:
        shutil.chown(directory, user, user)
    return directory, user, found


def as_user(user):
    """Options of `subprocess` to become that user."""
    return {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}


def make_ledger(server, chain=CHAIN):
    """The shared ledger, as its owner makes it. Its commits wait for no standby: there may be none yet."""
    connection = server.as_owner()
    connection.query("SET synchronous_commit = local")
    connection.query(f"CREATE DATABASE {DATABASE}")
    connection.close()
    with open(os.path.join(SQL, "schema.sql")) as file:
        schema = file.read()
    connection = server.as_owner(DATABASE)
    connection.query("SET synchronous_commit = local")
    connection.script(schema)
    connection.query("INSERT INTO bls_signer.head (schema_version, genesis_validators_root) "
                     f"VALUES (1, '\\x{chain.hex()}')")
    connection.close()
