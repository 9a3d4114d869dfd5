"""Google Secret Manager behind the logins of Google Cloud, as Google's reference pages describe their protocols.

The emulators that can be had give tokens to anybody, so these servers ask for what the real ones ask for: a signed statement with its
audience, scope and times, a federated token with its types, the header of the metadata service, a scope of the token.
"""

import base64, json, pathlib, subprocess, tempfile, time, urllib.parse

from harness import Quiet, expect, form_of, once, retire, secret, serve, source, unsource

PROJECT, NUMBER, ACCOUNT = "keys-of-tests", 4711, "fetcher@keys-of-tests.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
POOL = f"//iam.googleapis.com/projects/{NUMBER}/locations/global/workloadIdentityPools/pool/providers/cluster"
SUBJECT = "eyJhbGciOiJSUzI1NiJ9.subject.token"


def check(processes, daemon):
    manager, tokens, metadata = serve(SecretManager), serve(Tokens), serve(Metadata)
    Tokens.uri = f"http://127.0.0.1:{tokens}/token"
    Tokens.public, private = key_pair(processes.work, "google")
    _, stolen = key_pair(processes.work, "stolen")
    by_key = key_login(processes, "google-key", private)
    subject = processes.secret_file("google-subject", SUBJECT)
    by_workload = (f'login = {{method = "workload-identity", audience = "{POOL}", token_file = "{subject}", '
                   f'address = "http://127.0.0.1:{tokens}"}}\n')
    by_machine = f'login = {{method = "metadata", address = "http://127.0.0.1:{metadata}"}}\n'
    # What each service says in place of what is so, and the trouble that comes of it.
    lies = {
        "checksum": "malformed: checksum_2: its data has another checksum",
        "base64": "malformed: base64_2: its data is no base64",
        "gone": "not-found: gone_2: it is not there",
        "empty": "empty",
        "scope": "denied: UNAUTHENTICATED",
    }

    def write(name, wanted, login, port=manager):
        source(processes, f"gcp-{name}",
               f'type = "gcp-secret-manager"\nproject = "{PROJECT}"\naddress = "http://127.0.0.1:{port}"\n{wanted}\n{login}')

    for number in range(20):
        SecretManager.put(f"validator_{number}", secret(300 + number))
    SecretManager.put("labelled", f"{secret(320)}\n{secret(321)}\n", labels={"purpose": "validator"})
    SecretManager.put("alone", json.dumps({"secret": secret(322)}))
    SecretManager.put("other", "\xff\xfe no key")
    SecretManager.put("validator_retired", "no key", state="DESTROYED")
    write("prefix", 'prefix = "validator_"', by_key)
    write("filter", 'filter = "labels.purpose=validator"', by_workload)
    write("named", 'secrets = ["alone"]', by_machine)
    for number, way in enumerate(lies):
        SecretManager.put(f"{way}_1", secret(330 + 2 * number))
        SecretManager.put(f"{way}_2", secret(331 + 2 * number))
        write(way, f'prefix = "{way}_"', by_key)
    log = once(processes, daemon)
    found = {name: shown["keys"] for name, shown in daemon.sources().items() if name.startswith("gcp")}
    expected = {"gcp-prefix": 20, "gcp-filter": 2, "gcp-named": 1, **{f"gcp-{way}": 2 for way in lies}}
    expect("keys of Google", expected, found)

    SecretManager.secrets["validator_7"]["state"] = "DISABLED"
    keys = set(daemon.keys())
    troubles = dict(lies)
    for way in lies:
        write(way, f'prefix = "{way}_"', by_key, serve(type(way, (SecretManager,), {"lie": way})))
    for way, login, trouble in [
        ("stolen", key_login(processes, "google-stolen", stolen), "denied: invalid_grant"),
        ("plain", key_login(processes, "google-plain", private, token_uri="http://oauth2.example/token"), "denied: token_uri"),
        ("no-key", key_login(processes, "google-no-key", "none"), "denied: private_key"),
        ("pool", by_workload.replace(str(NUMBER), "4712"), "denied: invalid_target"),
        ("no-right-to-list", by_machine, "denied: PERMISSION_DENIED"),
    ]:
        write(way, 'prefix = "validator_"', login)
        troubles[way] = trouble
    told = once(processes, daemon, fails=True)
    expect("keys of Google after one version was disabled", 19, daemon.sources()["gcp-prefix"]["keys"])
    for way, trouble in troubles.items():
        kind, _, reason = trouble.partition(": ")
        expect(f"trouble of Google: {way}", kind, daemon.trouble(f"gcp-{way}"))
        assert any(reason in line for line in told.splitlines() if line.startswith(f"gcp-{way}:")), f"{reason}: not in {told}"
    expect("keys that left", 1, len(keys - set(daemon.keys())))
    for hidden in (SUBJECT, SecretManager.tokens[0], private.splitlines()[1], secret(300)):
        assert hidden not in log + told, f"{hidden} is in the log"
    for way in troubles.keys() - lies.keys():
        unsource(processes, f"gcp-{way}")
    retire(processes, daemon, *expected)


def key_pair(work, name):
    private, public = work / f"{name}.key", work / f"{name}.pub"
    for command in (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private],
                    ["pkey", "-in", private, "-pubout", "-out", public]):
        subprocess.run(["openssl", *command], check=True, stderr=subprocess.DEVNULL)
    return public, private.read_text()


def key_login(processes, name, private, token_uri=None):
    """A service account's key in the form in which the console gives it."""
    key = {"type": "service_account", "project_id": PROJECT, "private_key_id": "a1b2c3", "private_key": private, "client_email": ACCOUNT,
           "client_id": "1", "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": token_uri or Tokens.uri}
    return f'login = {{method = "service-account", key_file = "{processes.secret_file(name, json.dumps(key, indent=2))}"}}\n'


class Tokens(Quiet):
    """Tokens: "Using OAuth 2.0 for server to server applications", and the method `token` of the Security Token Service, version 1."""

    uri, public = None, None

    def do_POST(self):
        form = form_of(self)
        if self.path.startswith("/token"):
            problem = self.problem(form)
            return self.refuse("invalid_grant", problem) if problem else self.grant()
        wanted = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "scope": SCOPE, "subject_token": SUBJECT,
                  "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
                  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
        if self.path != "/v1/token" or {name: form.get(name) for name in wanted} != wanted:
            return self.refuse("invalid_request", SUBJECT)
        if form.get("audience") != POOL:
            return self.refuse("invalid_target", "The target service indicated by the \"audience\" parameters is invalid.")
        self.grant(issued_token_type="urn:ietf:params:oauth:token-type:access_token")

    def problem(self, form):
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return "Unsupported grant type"
        signed, _, signature = form.get("assertion", "").rpartition(".")
        header, claims = (json.loads(unpadded(part)) for part in signed.split("."))
        with tempfile.NamedTemporaryFile() as file:
            pathlib.Path(file.name).write_bytes(unpadded(signature))
            verified = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public, "-signature", file.name],
                                      input=signed.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        now = time.time()
        times = claims["iat"] <= now + 60 and now < claims["exp"] <= claims["iat"] + 3600
        if header != {"alg": "RS256", "typ": "JWT", "kid": "a1b2c3"} or not verified:
            return "Invalid JWT Signature."
        if claims["aud"] != "https://oauth2.googleapis.com/token" or claims["iss"] != ACCOUNT or claims["scope"] != SCOPE or not times:
            return "Invalid JWT: wrong claims"
        return None

    def grant(self, **more):
        self.json({"access_token": SecretManager.token(lists=True), "expires_in": 3599, "token_type": "Bearer", **more})

    def refuse(self, error, description):
        self.json({"error": error, "error_description": description}, 400)


class Metadata(Quiet):
    """The machine's own service: "About VM metadata"; its account may read secrets, but not list them."""

    def do_GET(self):
        if self.headers.get("Metadata-Flavor") != "Google" or self.headers.get("X-Forwarded-For"):
            return self.answer(b"<html>Missing Metadata-Flavor:Google header</html>", 403)
        if self.path != "/computeMetadata/v1/instance/service-accounts/default/token":
            return self.answer(b"<html>404</html>", 404)
        token = {"access_token": SecretManager.token(lists=False), "expires_in": 3599, "token_type": "Bearer"}
        self.json(token, headers={"Metadata-Flavor": "Google"})


class SecretManager(Quiet):
    """The service: `projects.secrets.list`, `projects.secrets.versions.access` and `.get`, "List-operation filtering"."""

    # Each path is throttled when it is asked for the first time.
    secrets, tokens, rights, lie, asked = {}, [], {}, None, set()
    LARGEST_PAGE = 9

    @classmethod
    def put(cls, name, value, labels={}, state="ENABLED"):
        cls.secrets[name] = {"value": value, "labels": labels, "state": state}

    @classmethod
    def token(cls, lists):
        cls.tokens.append(f"ya29.{len(cls.tokens)}.of-tests")
        cls.rights[cls.tokens[-1]] = lists
        return cls.tokens[-1]

    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.rights or self.lie == "scope":
            return self.refuse(401, "UNAUTHENTICATED")
        if self.path not in self.asked:
            self.asked.add(self.path)
            return self.refuse(429, "RESOURCE_EXHAUSTED") if "access" in self.path else self.refuse(503, "UNAVAILABLE")
        url = urllib.parse.urlsplit(self.path)
        below = url.path.removeprefix(f"/v1/projects/{PROJECT}/secrets")
        if below == url.path:
            return self.refuse(403, "PERMISSION_DENIED")
        if below == "":
            query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            return self.page(query) if self.rights[token] else self.refuse(403, "PERMISSION_DENIED")
        name, _, version = below.removeprefix("/").partition("/versions/")
        if name not in self.secrets or (self.lie, name) == ("gone", "gone_2"):
            return self.refuse(404, "NOT_FOUND")
        held = self.secrets[name]
        full = f"projects/{NUMBER}/secrets/{name}/versions/1"
        if version == "latest":
            return self.json({"name": full, "state": held["state"], "etag": "x"})
        if version != "latest:access":
            return self.refuse(400, "INVALID_ARGUMENT")
        if held["state"] != "ENABLED":
            return self.refuse(400, "FAILED_PRECONDITION")
        data = held["value"].encode("latin-1")
        checksum = crc32c(data) + ((self.lie, name) == ("checksum", "checksum_2"))
        text = "*" if (self.lie, name) == ("base64", "base64_2") else base64.b64encode(data).decode()
        self.json({"name": full, "payload": {"data": text, "dataCrc32c": str(checksum)}})

    def page(self, query):
        most, first = int(query.get("pageSize") or 0) or 25000, int(query.get("pageToken") or 0)
        names = [] if self.lie == "empty" else sorted(self.secrets)
        what, is_label, wanted = query.get("filter", "").partition("=")
        if what and not (is_label and what.startswith("labels.")):
            return self.refuse(400, "INVALID_ARGUMENT")
        names = [name for name in names if not what or self.secrets[name]["labels"].get(what.removeprefix("labels.")) == wanted]
        end = first + min(most, self.LARGEST_PAGE)
        page = {"secrets": [{"name": f"projects/{NUMBER}/secrets/{name}", "replication": {"automatic": {}}} for name in names[first:end]]}
        # What is empty is left out of this JSON.
        shown = {**page, "totalSize": 0 if what else len(names), "nextPageToken": str(end) if end < len(names) else ""}
        self.json({name: value for name, value in shown.items() if value})

    def refuse(self, status, name):
        self.json({"error": {"code": status, "message": "x", "status": name}}, status)


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def crc32c(data):
    total = 0xFFFFFFFF
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = (total >> 1) ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF
