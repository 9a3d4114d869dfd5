"""A directory of Web3Signer's key configurations, whose keys are in OpenBao and in a moto."""

import hashlib, os, ssl

from aws import REGION
from harness import expect, once, retire, secret, source, unsource


def check(processes, daemon, vault, moto):
    directory = processes.work / "key-configurations"
    directory.mkdir()
    for number in range(3):
        vault.put(2, "secret", f"w3s/{number}", {"value": secret(500 + number), "other": secret(510 + number)})

    def write(name, text):
        processes.secret_file(f"key-configurations/{name}", text)

    def hashicorp(number, name="value", token=vault.TOKEN):
        return (f"type: hashicorp\nkeyType: BLS\nserverHost: 127.0.0.1\nserverPort: {vault.port}\ntlsEnabled: true\n"
                f"keyPath: /v1/secret/data/w3s/{number}\nkeyName: {name}\ntoken: '{token}'\ntimeout: 10000\n")

    access_key_id, secret_access_key = moto.users["reader"]
    aws = f"type: aws-secret\nregion: {REGION}\nendpointOverride: {moto.address}\nsecretName: validators/%s\n"
    keys = f"authenticationMode: SPECIFIED\naccessKeyId: {access_key_id}\nsecretAccessKey: {secret_access_key}\n"
    write("vault.yaml", hashicorp(0) + "---\n" + hashicorp(1) + "---\n" + hashicorp(1, "other"))
    write("aws.yml", aws % "000" + keys + "---\n" + aws % "several" + keys)
    write("environment.yaml", aws % "001" + "authenticationMode: ENVIRONMENT\n")
    write("file.yaml", f"type: file-raw\nprivateKey: 0x{secret(520)}\n")
    write(".hidden.yaml", "type: nothing\n")
    file = processes.secret_file("key-of-environment", secret_access_key)
    login = f'aws_login = {{method = "keys", access_key_id = "{access_key_id}", secret_access_key_file = "{file}"}}\n'
    text = f'type = "web3signer"\ndirectory = "{directory}"\nca_file = "{vault.ca}"\n{login}'
    source(processes, "w3s", text)
    once(processes, daemon)
    expect("keys of key configurations: four of a vault and of AWS, two in one secret, one of the environment", 7, daemon.sources()["w3s"]["keys"])

    before = daemon.keys()
    write("wrong.yaml", hashicorp(2, token="wrong") + "---\ntype: hashicorp\n")
    log = once(processes, daemon, fails=True)
    expect("keys beside wrong documents", before, daemon.keys())
    for reason in ("w3s/2: https://127.0.0.1", "wrong.yaml, document 2: serverHost is missing"):
        expect(f"it is said: {reason}", True, reason in log)
    os.remove(directory / "wrong.yaml")
    os.chmod(directory / "vault.yaml", 0o644)
    log = once(processes, daemon, fails=True)
    expect("a token that all can read", (before, True), (daemon.keys(), "chmod o=" in log))
    os.remove(directory / "vault.yaml")
    once(processes, daemon)
    expect("keys of what is left", 4, len(daemon.keys()))
    source(processes, "w3s", text.replace(login, ""))
    log = once(processes, daemon, fails=True)
    expect("without a login for the environment's", (4, True), (len(daemon.keys()), "aws_login" in log))
    retire(processes, daemon, "w3s")

    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", vault.port)))
    fingerprint = hashlib.sha256(certificate).hexdigest().upper()
    colons = ":".join(fingerprint[place:place + 2] for place in range(0, 64, 2))
    known = processes.file("known-servers", f"# servers\n127.0.0.1:{vault.port} {colons}\n")
    for file in directory.iterdir():
        file.unlink()
    write("vault.yaml", hashicorp(0) + f"tlsKnownServersPath: {known}\n")
    source(processes, "w3s", f'type = "web3signer"\ndirectory = "{directory}"\n')
    once(processes, daemon)
    expect("keys of a vault that is known by its fingerprint", 1, daemon.sources()["w3s"]["keys"])
    known.write_text(f"127.0.0.1:{vault.port} {colons.replace(colons[:2], '00', 1)}\n")
    once(processes, daemon, fails=True)
    expect("trouble of a vault with another fingerprint", "unreachable", daemon.trouble("w3s"))
    retire(processes, daemon, "w3s")
