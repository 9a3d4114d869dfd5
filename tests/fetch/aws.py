"""AWS Secrets Manager: a moto that checks signatures and permissions, by every login, and servers that go wrong."""

import base64, http.client, json, os, re, urllib.parse

from harness import PATIENCE, Quiet, expect, free_port, once, retire, secret, serve, source, unsource, wait

REGION = "eu-central-1"
# As docs/fetch.md has it.
POLICY = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["secretsmanager:ListSecrets", "secretsmanager:BatchGetSecretValue"], "Resource": "*"},
    {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
     "Resource": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:validators/*"}]}


def check(processes, daemon, program, keystore):
    moto = Moto(processes, program)
    forms(processes, daemon, moto, keystore)
    logins(processes, daemon, moto)
    denials(processes, daemon, moto)
    liars(processes, daemon)
    return moto


def forms(processes, daemon, moto, keystore):
    """Secrets of each form, on several pages, chosen by prefix and by tag."""
    for number in range(230):
        moto.put(f"validators/{number:03}", SecretString=secret(2000 + number))
    moto.put("validators/several", SecretString=f"0x{secret(2300)}\n{secret(2301)}\n")
    moto.put("validators/map", SecretString=json.dumps({"value": secret(2302)}, indent=2))
    moto.put("validators/keystore", SecretString=json.dumps({"keystore": keystore, "password": "testpassword"}))
    moto.put("validators/binary", SecretBinary=base64.b64encode(secret(2303).encode()).decode())
    moto.put("other/one", SecretString=secret(2304), Tags=[{"Key": "signer", "Value": "yes"}, {"Key": "env", "Value": "prod"}])
    moto.put("other/two", SecretString=secret(2305), Tags=[{"Key": "signer", "Value": "prod"}, {"Key": "env", "Value": "yes"}])
    moto.user("reader", POLICY)
    moto.authenticate()
    source(processes, "by-prefix", moto.source('prefixes = ["validators/"]', moto.keys(processes, "reader")))
    source(processes, "by-tag", moto.source('tags = { signer = "yes", env = "prod" }', moto.keys(processes, "reader")))
    source(processes, "by-name", moto.source('secrets = ["validators/000", "other/two"]', moto.keys(processes, "reader")))
    once(processes, daemon)
    found = tuple(daemon.sources()[name]["keys"] for name in ("by-prefix", "by-tag", "by-name"))
    expect("keys of AWS by prefix, tag and name", (235, 1, 2), found)
    retire(processes, daemon, "by-prefix", "by-tag", "by-name")


def logins(processes, daemon, moto):
    """Each login reads the secret that has the tag."""
    access_key_id, secret_access_key = moto.users["reader"]
    profile = processes.secret_file("profile", f"[default]\naws_access_key_id = x\naws_secret_access_key = y\n"
                                    f"[signer]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n")
    moto.authenticate(False)
    role = moto.role("signer", POLICY)
    Metadata.keys = moto.assume(role)
    moto.authenticate()
    metadata = serve(Metadata)
    token = processes.secret_file("container-token", Metadata.session)
    jwt = processes.secret_file("web-identity", "header.claims.signature")
    for name, login, without in [
        ("profile", f'method = "profile", file = "{profile}", profile = "signer"', 0),
        ("instance", f'method = "instance", address = "http://127.0.0.1:{metadata}"', 0),
        ("container", f'method = "container", address = "http://127.0.0.1:{metadata}", path = "/v1/credentials", token_file = "{token}"', 0),
        # Whoever asks for a role by a token signs nothing.
        ("web-identity", f'method = "web-identity", role_arn = "{role}", token_file = "{jwt}", address = "{moto.address}"', 1),
    ]:
        moto.authenticate(without)
        source(processes, name, moto.source('tags = { signer = "yes" }', login))
        once(processes, daemon)
        expect(f"keys of AWS by {name}", 1, daemon.sources()[name]["keys"])
        retire(processes, daemon, name)


def denials(processes, daemon, moto):
    moto.authenticate(False)
    moto.user("stranger", None)
    moto.authenticate()
    wrong = processes.secret_file("wrong-key", "wrong")
    wrong = f'method = "keys", access_key_id = "{moto.users["reader"][0]}", secret_access_key_file = "{wrong}"'
    for name, login in [("wrong-signature", wrong), ("no-permission", moto.keys(processes, "stranger"))]:
        source(processes, name, moto.source("", login))
        once(processes, daemon, fails=True)
        expect(f"trouble: {name}", "denied", daemon.trouble(name))
        unsource(processes, name)


def liars(processes, daemon):
    key = processes.secret_file("key-of-liar", "k")
    liar = serve(Liar)
    for way in Liar.WAYS:
        source(processes, f"aws-{way}", f'type = "aws-secrets-manager"\nregion = "{REGION}"\naddress = "http://127.0.0.1:{liar}"\nprefixes = ["{way}/"]\n'
               f'login = {{method = "keys", access_key_id = "AKIA", secret_access_key_file = "{key}"}}\n')
    once(processes, daemon)
    before = daemon.keys()
    expect("each liar's first list is taken", True, all(daemon.sources()[f"aws-{way}"]["keys"] == 2 for way in Liar.WAYS))
    Liar.lies = True
    once(processes, daemon, fails=True)
    expect("keys after the lies", before, daemon.keys())
    for way, trouble in Liar.WAYS.items():
        expect(f"trouble of AWS: {way}", trouble, daemon.trouble(f"aws-{way}"))
    retire(processes, daemon, *(f"aws-{way}" for way in Liar.WAYS))


class Moto:
    """Its server, which checks who signs and what policies allow from `authenticate` on."""

    def __init__(self, processes, program):
        self.port, self.users = free_port(), {}
        self.address = f"http://127.0.0.1:{self.port}"
        environment = {"HOME": str(processes.work), "PATH": os.environ["PATH"], "INITIAL_NO_AUTH_ACTION_COUNT": "inf"}
        self.process = processes.start("moto", [program, "-H", "127.0.0.1", "-p", self.port], env=environment)
        wait("moto serves", self.is_ready)

    def is_ready(self):
        try:
            return self.ask("GET", "/moto-api/data.json", "", {}) is not None
        except OSError:
            return False

    def ask(self, method, path, body, headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status < 300, (path, answer.status, text)
        return text

    def authenticate(self, after=0):
        """From the action on that follows on so many; with False, never."""
        self.ask("POST", "/moto-api/reset-auth", "inf" if after is False else str(after), {})

    def put(self, name, **members):
        headers = {**self.scope("secretsmanager"), "X-Amz-Target": "secretsmanager.CreateSecret", "Content-Type": "application/x-amz-json-1.1"}
        self.ask("POST", "/", json.dumps({"Name": name, **members}), headers)

    def query(self, service, action, **members):
        version = {"iam": "2010-05-08", "sts": "2011-06-15"}[service]
        headers = {**self.scope(service), "Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", "/", urllib.parse.urlencode({"Action": action, "Version": version, **members}), headers)

    def user(self, name, policy):
        self.query("iam", "CreateUser", UserName=name)
        if policy:
            self.query("iam", "PutUserPolicy", UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        made = self.query("iam", "CreateAccessKey", UserName=name)
        self.users[name] = (element(made, "AccessKeyId"), element(made, "SecretAccessKey"))

    def keys(self, processes, user):
        access_key_id, secret_access_key = self.users[user]
        file = processes.secret_file(f"key-of-{user}", secret_access_key + "\n")
        return f'method = "keys", access_key_id = "{access_key_id}", secret_access_key_file = "{file}"'

    def role(self, name, policy):
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:*"}]}
        made = self.query("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        self.query("iam", "PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        return element(made, "Arn")

    def assume(self, role):
        given = self.query("sts", "AssumeRole", RoleArn=role, RoleSessionName="test")
        return {"Code": "Success", "Type": "AWS-HMAC", "Expiration": "2100-01-01T00:00:00Z", "Token": element(given, "SessionToken"),
                **{name: element(given, name) for name in ("AccessKeyId", "SecretAccessKey")}}

    def source(self, chosen, login):
        return f'type = "aws-secrets-manager"\nregion = "{REGION}"\naddress = "{self.address}"\n{chosen}\nlogin = {{{login}}}\n'

    @staticmethod
    def scope(service):
        return {"Authorization": f"AWS4-HMAC-SHA256 Credential=x/20200101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=x"}


class Metadata(Quiet):
    """Version 2 of an instance's metadata service, and a container's: both give keys to who shows what he was given."""

    session, keys = "session-of-tests", {}

    def do_PUT(self):
        is_asked = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.answer(self.session.encode(), 200 if is_asked else 400)

    def do_GET(self):
        folder = "/latest/meta-data/iam/security-credentials/"
        if self.path == "/v1/credentials":
            is_known = self.headers["Authorization"] == self.session
        else:
            is_known = self.headers["X-aws-ec2-metadata-token"] == self.session
        if not is_known:
            return self.answer(b"", 401)
        if self.path == folder:
            return self.answer(b"signer")
        is_there = self.path in (f"{folder}signer", "/v1/credentials")
        self.answer(json.dumps(self.keys).encode() if is_there else b"", 200 if is_there else 404)


class Liar(Quiet):
    """The service, with two secrets under each prefix, that goes wrong in the way of the prefix."""

    lies, asked = False, {}
    WAYS = {"throttled": "", "html": "malformed", "redirect": "malformed", "denied": "denied", "endless": "malformed",
            "one-denied": "denied", "one-left-out": "not-found", "no-key": "malformed", "empty": "empty"}

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lists = self.headers["X-Amz-Target"] == "secretsmanager.ListSecrets"
        way = asked["Filters"][0]["Values"][0][:-1] if lists else asked["SecretIdList"][0].split("/")[0]
        first = 2400 + 2 * list(self.WAYS).index(way)
        names = [f"{way}/a", f"{way}/b"]
        values = [{"Name": name, "SecretString": secret(first + number)} for number, name in enumerate(names)]
        if way == "throttled":
            # Each question is answered the third time.
            count = self.asked[lists] = self.asked.get(lists, 0) + 1
            if count % 3:
                return self.fault("ThrottlingException")
        if self.lies and way == "html":
            return self.answer(b"<html><body>Log in</body></html>")
        if self.lies and way == "redirect":
            return self.answer(b"", 301, {"Location": "http://127.0.0.1:1/"})
        if self.lies and way == "denied" and not lists:
            return self.fault("AccessDeniedException")
        if lists:
            page = {"SecretList": [{"Name": name} for name in names]}
            if self.lies and way == "empty":
                page = {"SecretList": []}
            if self.lies and way == "endless":
                page["NextToken"] = "again"
            return self.say(page)
        if self.lies and way == "one-denied":
            return self.say({"SecretValues": values[:1], "Errors": [{"SecretId": names[1], "ErrorCode": "AccessDeniedException"}]})
        if self.lies and way == "one-left-out":
            values = values[:1]
        if self.lies and way == "no-key":
            values[1]["SecretString"] = "<html>"
        self.say({"SecretValues": values, "Errors": []})

    def fault(self, name):
        self.say({"__type": name, "Message": "not now"}, 400)

    def say(self, body, status=200):
        self.answer(json.dumps(body).encode(), status, {"Content-Type": "application/x-amz-json-1.1"})


def element(text, name):
    return re.search(f"<{name}>([^<]*)</{name}>", text)[1]
