"""Certificates of an authority of the tests' own, by openssl."""

import os
import subprocess


class Authority:
    """An authority whose files are in `directory`; `path` has its own certificate."""

    def __init__(self, directory, name="authority"):
        self.directory, self.name = directory, name
        self.path = os.path.join(directory, f"{name}.pem")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
                      "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def certificate(self, name, kind="rsa:2048", digest="sha256"):
        """The paths of a certificate for that name, and of its key."""
        extensions = os.path.join(self.directory, "extensions")
        with open(extensions, "w") as file:
            file.write(f"subjectAltName = DNS:{name}\n")
        self._openssl("req", "-newkey", kind, "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "csr")
        self._openssl("x509", "-req", "-in", "csr", "-CA", self.path, "-CAkey", f"{self.name}.key", "-CAcreateserial",
                      "-days", "3", f"-{digest}", "-extfile", extensions, "-out", f"{name}.pem")
        found = [os.path.join(self.directory, f"{name}.{kind}") for kind in ("pem", "key")]
        for path in found:
            os.chmod(path, 0o600)
        return found

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, cwd=self.directory)
        if done.returncode:
            raise AssertionError(f"openssl {arguments}: {done.stderr}")
