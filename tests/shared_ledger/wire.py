"""PostgreSQL's wire protocol (version 3), as far as the tests ask: no library stands between them and what a
server says.

Every notice is kept, and an answer is only one when the server is ready for the next question: a commit that waits for
its standby comes after `CommandComplete` and before `ReadyForQuery`.
"""

import socket
import struct


class ServerError(Exception):
    """The server refused a statement; `code` is its SQLSTATE."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('C')}: {fields.get('M')}")
        self.code = fields.get("C")


class Connection:
    """A connection over a Unix socket, to a server that trusts everybody. `timeout`: seconds without a byte."""

    def __init__(self, socket_path, user, database, timeout):
        self.notices = []
        self.received = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(socket_path)
            words = ["user", user, "database", database, "application_name", "bls-signer-test"]
            body = struct.pack("!I", 3 << 16) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
            self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
            self._answer()
        except BaseException:
            self.close()
            raise

    def close(self):
        """Leaves without a word, as a process that is killed."""
        self.socket.close()

    def query(self, statement, *parameters):
        """One statement in one transaction of its own; its rows as tuples of text."""
        self.send(statement, *parameters)
        return self._answer()

    def script(self, text):
        """Statements in PostgreSQL's own order and transactions, as `psql` sends a line."""
        self.socket.sendall(b"Q" + struct.pack("!I", len(text.encode()) + 5) + text.encode() + b"\0")
        self._answer()

    def pipelined(self, *statements):
        """Statements with their parameters, one transaction each, all sent before the first answer: each one's rows."""
        for statement, parameters in statements:
            self.send(statement, *parameters)
        return [self._answer() for _ in statements]

    def send(self, statement, *parameters):
        """Sends a statement whose answer may never be read. Parameters are in PostgreSQL's text form."""
        bind = b"\0\0" + struct.pack("!HH", 0, len(parameters))
        for parameter in parameters:
            value = parameter.encode()
            bind += struct.pack("!I", len(value)) + value
        messages = [
            (b"P", b"\0" + statement.encode() + b"\0" + struct.pack("!H", 0)),
            (b"B", bind + struct.pack("!H", 0)),
            (b"E", b"\0" + struct.pack("!I", 0)),
            (b"S", b""),
        ]
        self.socket.sendall(b"".join(kind + struct.pack("!I", len(body) + 4) + body for kind, body in messages))

    def _answer(self):
        rows, error = [], None
        while True:
            kind, body = self._message()
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                error = ServerError(_fields(body))
                # After these the server closes the connection, and is never ready again.
                if error.code.startswith(("57P", "28", "3D", "53")):
                    raise error
            elif kind == b"N":
                self.notices.append(_fields(body))
            elif kind == b"R" and body[:4] != b"\0\0\0\0":
                raise ConnectionError("the server wants a password")
            elif kind == b"Z":
                if error:
                    raise error
                return rows

    def _message(self):
        kind, length = struct.unpack("!cI", self._take(5))
        return kind, self._take(length - 4)

    def _take(self, length):
        while len(self.received) < length:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("the server closed the connection")
            self.received += piece
        taken, self.received = self.received[:length], self.received[length:]
        return taken


def array(values):
    """An array in text form; bytes become bytea, `None` NULL."""
    def element(value):
        if value is None:
            return "NULL"
        return f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else str(value)
    return "{" + ",".join(element(value) for value in values) + "}"


def bytea(value):
    """Bytes in text form."""
    return "\\x" + value.hex()


def _row(body):
    columns, at = [], 2
    for _ in range(struct.unpack("!H", body[:2])[0]):
        (length,) = struct.unpack("!i", body[at:at + 4])
        at += 4
        if length < 0:
            columns.append(None)
            continue
        columns.append(body[at:at + length].decode())
        at += length
    return tuple(columns)


def _fields(body):
    return {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}
