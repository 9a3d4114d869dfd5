"""Azure Key Vault behind the logins of Entra, as Microsoft's reference pages describe their protocols.

The emulators that can be had give tokens to anybody, so this server asks for what the real ones ask for: tenant, application and its
secret or assertion, the scope of a token, the header of the metadata service, an API version, pages of 25 at most.
"""

import json, urllib.parse

from harness import Quiet, expect, form_of, once, retire, secret, serve, source, unsource

TENANT, APPLICATION, LISTLESS = "7c2c2d36-tenant", "2d6f0c2e-application", "0b1d-without-list"
SECRET, ASSERTION = "Q~client/secret+of=tests&", "eyJhbGciOiJSUzI1NiJ9.workload.assertion"
AUDIENCE = "https://vault.azure.net"


def check(processes, daemon):
    vault, entra, metadata, elsewhere = serve(KeyVault), serve(Entra), serve(Metadata), serve(Elsewhere)
    address = f'address = "http://127.0.0.1:{entra}"'
    identity = f'tenant = "{TENANT}", client_id = "{APPLICATION}", {address}'
    secret_file = processes.secret_file("azure-secret", SECRET + "\n")
    assertion = processes.secret_file("azure-assertion", ASSERTION)
    wrong = processes.secret_file("azure-wrong", "wrong")
    by_secret = f'login = {{method = "client-secret", {identity}, client_secret_file = "{secret_file}"}}\n'
    by_assertion = f'login = {{method = "workload-identity", {identity}, token_file = "{assertion}"}}\n'
    by_machine = f'login = {{method = "managed-identity", client_id = "{LISTLESS}", address = "http://127.0.0.1:{metadata}"}}\n'
    # What each vault says in place of what is so, and the trouble that comes of it.
    lies = {
        "link": ({"next_link": f"http://127.0.0.1:{elsewhere}/secrets?page=2"}, "malformed: another place"),
        "user": ({"next_link": f"http://127.0.0.1:{vault}@127.0.0.1:{elsewhere}/secrets?page=2"}, "malformed: another place"),
        "redirect": ({"redirect": f"http://127.0.0.1:{elsewhere}/"}, "malformed: redirect"),
        "gone": ({"gone": "gone-2"}, "not-found: gone-2"),
        "empty": ({"empty": True}, "empty"),
    }

    def write(name, wanted, login, port=vault):
        source(processes, f"azure-{name}", f'type = "azure-key-vault"\naddress = "http://127.0.0.1:{port}"\n{wanted}\n{login}')

    for number in range(60):
        KeyVault.put(f"validator-{number}", secret(200 + number))
    KeyVault.put("tagged", json.dumps({"value": secret(261), "public_key": None}), tags={"purpose": "validator", "team": "a"})
    KeyVault.put("tagged-otherwise", "no key", tags={"purpose": "other"})
    KeyVault.put("several", f"{secret(262)}\n0x{secret(263)}\n")
    KeyVault.put("validator-disabled", "no key", enabled=False)
    KeyVault.put("validator-certificate", "no key", managed=True)
    write("prefix", 'prefix = "validator-"', by_secret)
    write("tags", 'tags = {purpose = "validator"}', by_assertion)
    write("named", 'secrets = ["several"]', by_machine)
    for number, way in enumerate(lies):
        KeyVault.put(f"{way}-1", secret(270 + 2 * number))
        KeyVault.put(f"{way}-2", secret(271 + 2 * number))
        write(way, f'prefix = "{way}-"', by_secret)
    log = once(processes, daemon)
    found = {name: shown["keys"] for name, shown in daemon.sources().items() if name.startswith("azure")}
    expected = {"azure-prefix": 60, "azure-tags": 1, "azure-named": 2, **{f"azure-{way}": 2 for way in lies}}
    expect("keys of Azure", expected, found)

    KeyVault.secrets["validator-7"]["enabled"] = False
    keys = set(daemon.keys())
    troubles = {way: trouble for way, (_, trouble) in lies.items()}
    for way, (lie, _) in lies.items():
        write(way, f'prefix = "{way}-"', by_secret, serve(type(way, (KeyVault,), {"lie": lie})))
    for way, login, trouble in [
        ("wrong-secret", by_secret.replace(str(secret_file), str(wrong)), "denied: AADSTS7000215"),
        ("wrong-audience", f'cloud = "us-government"\n{by_secret}', "denied: Unauthorized"),
        ("no-right-to-list", by_machine, "denied: ForbiddenByRbac"),
    ]:
        write(way, 'prefix = "validator-"', login)
        troubles[way] = trouble
    told = once(processes, daemon, fails=True)
    expect("keys of Azure after one secret was disabled", 59, daemon.sources()["azure-prefix"]["keys"])
    for way, trouble in troubles.items():
        kind, _, reason = trouble.partition(": ")
        expect(f"trouble of Azure: {way}", kind, daemon.trouble(f"azure-{way}"))
        assert any(reason in line for line in told.splitlines() if line.startswith(f"azure-{way}:")), f"{reason}: not in {told}"
    expect("keys that left", 1, len(keys - set(daemon.keys())))
    expect("requests at another host", 0, Elsewhere.asked)
    for hidden in (SECRET, ASSERTION, KeyVault.tokens[0], secret(200)):
        assert hidden not in log + told, f"{hidden} is in the log"
    for way in troubles.keys() - lies.keys():
        unsource(processes, f"azure-{way}")
    retire(processes, daemon, *expected)


class Entra(Quiet):
    """The token endpoint, version 2: "The OAuth 2.0 client credentials flow", "Microsoft Entra authentication error codes"."""

    def do_POST(self):
        form = form_of(self)
        proof = form.get("client_secret") == SECRET or (
            form.get("client_assertion") == ASSERTION
            and form.get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        if self.path != f"/{TENANT}/oauth2/v2.0/token":
            return self.refuse(400, "invalid_request", 90002)
        if form.get("grant_type") != "client_credentials":
            return self.refuse(400, "unsupported_grant_type", 70003)
        if form.get("client_id") != APPLICATION:
            return self.refuse(400, "unauthorized_client", 700016)
        if not proof:
            return self.refuse(401, "invalid_client", 7000215)
        resource, _, default = form.get("scope", "").rpartition("/")
        if default != ".default":
            return self.refuse(400, "invalid_scope", 70011)
        token = KeyVault.token(resource, lists=True)
        self.json({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})

    def refuse(self, status, error, code):
        # The real one says what was wrong in a text, too.
        self.json({"error": error, "error_description": f"AADSTS{code}: {SECRET}", "error_codes": [code]}, status)


class Metadata(Quiet):
    """The machine's own service: "How to use managed identities to acquire an access token". The first answer is that it is busy."""

    asked = 0

    def do_GET(self):
        Metadata.asked += 1
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if self.headers.get("Metadata") != "true" or self.headers.get("X-Forwarded-For"):
            return self.json({"error": "invalid_request", "error_description": "Required metadata header not specified"}, 400)
        if Metadata.asked == 1:
            return self.json({"error": "too_many_requests"}, 429, {"Retry-After": "0"})
        if url.path != "/metadata/identity/oauth2/token" or query.get("api-version") != "2018-02-01":
            return self.json({"error": "bad_request_102", "error_description": "Required API version not specified"}, 400)
        if query.get("client_id") != LISTLESS:
            return self.json({"error": "invalid_request", "error_description": "Identity not found"}, 400)
        token = KeyVault.token(query.get("resource"), lists=False)
        self.json({"access_token": token, "expires_in": "86399", "resource": query["resource"], "token_type": "Bearer"})


class KeyVault(Quiet):
    """The vault: "Get Secrets", "Get Secret", "Key Vault REST API error codes"."""

    # Each path is throttled when it is asked for the first time.
    secrets, tokens, rights, lie, asked = {}, [], {}, {}, set()

    @classmethod
    def put(cls, name, value, tags={}, enabled=True, managed=False):
        cls.secrets[name] = {"value": value, "tags": tags, "enabled": enabled, "managed": managed}

    @classmethod
    def token(cls, audience, lists):
        cls.tokens.append(f"eyJ0eXAiOiJKV1Qi.{len(cls.tokens)}.of-tests")
        cls.rights[cls.tokens[-1]] = (audience, lists)
        return cls.tokens[-1]

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        audience, lists = self.rights.get(self.headers.get("Authorization", "").removeprefix("Bearer "), (None, False))
        if audience != AUDIENCE:
            challenge = f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="{AUDIENCE}"'
            return self.refuse(401, "Unauthorized", headers={"WWW-Authenticate": challenge})
        if self.path not in self.asked:
            self.asked.add(self.path)
            return self.refuse(429, "Throttled", headers={"Retry-After": "1"} if "tagged" in self.path else {})
        if query.get("api-version") not in ("7.4", "7.5", "7.6", "2025-07-01"):
            return self.refuse(400, "BadParameter")
        if "redirect" in self.lie:
            return self.answer(b"", 302, {"Location": self.lie["redirect"]})
        if url.path == "/secrets":
            return self.page(query) if lists else self.refuse(403, "Forbidden", "ForbiddenByRbac")
        name = url.path.removeprefix("/secrets/").rstrip("/")
        if name not in self.secrets or self.lie.get("gone") == name:
            return self.refuse(404, "SecretNotFound")
        held = self.secrets[name]
        if not held["enabled"]:
            return self.refuse(403, "Forbidden", "SecretDisabled")
        self.json({"value": held["value"], **self.described(name, held), "id": f"{self.base()}/secrets/{name}/4387e9f3d6e14c45"})

    def page(self, query):
        most, first = int(query.get("maxresults", 25)), int(query.get("$skiptoken", 0))
        if not 1 <= most <= 25:
            return self.refuse(400, "BadParameter")
        names = [] if "empty" in self.lie else sorted(self.secrets)
        entries = [self.described(name, self.secrets[name]) for name in names[first:first + most]]
        follow = {"api-version": query["api-version"], "$skiptoken": first + most, "maxresults": most}
        link = f"{self.base()}/secrets?{urllib.parse.urlencode(follow)}" if first + most < len(names) else None
        self.json({"value": entries, "nextLink": self.lie.get("next_link", link)})

    def described(self, name, held):
        shown = {"id": f"{self.base()}/secrets/{name}", "attributes": {"enabled": held["enabled"], "created": 1, "updated": 1}}
        return {**shown, **({"tags": held["tags"]} if held["tags"] else {}), **({"managed": True} if held["managed"] else {})}

    def base(self):
        # With the port, as the real one names itself.
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def refuse(self, status, code, inner=None, headers={}):
        error = {"code": code, "message": "x", **({"innererror": {"code": inner}} if inner else {})}
        self.json({"error": error}, status, headers)


class Elsewhere(Quiet):
    """Where no token has to go."""

    asked = 0

    def do_GET(self):
        Elsewhere.asked += 1
        self.json({"value": []})
