#!/usr/bin/env python3
"""The key files of a Web3Signer, of every kind that lies on a disk. Only Python's own library and openssl.

web3signer_keys.py DIRECTORY N       writes them for the secret keys 1 to N, and prints the public keys in this order

Of each three keys one is in the clear, all of these in one file of many documents; one is in a keystore of its own with a
password of its own, which a file names, by scrypt and by PBKDF2 in turn; and one is in a directory of keystores beside a
directory of passwords. The derivations are cheap, as it is not their time that is looked at.
"""
import hashlib
import json
import os
import pathlib
import secrets
import subprocess
import sys
import uuid

FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
GENERATOR = (
    0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB,
    0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1,
)


def main(directory, count):
    directory = pathlib.Path(directory)
    os.umask(0o077)
    for name in ("keys", "bulk", "bulk-passwords"):
        (directory / name).mkdir(parents=True)
    clear = []
    for number, public_key in zip(range(1, int(count) + 1), public_keys()):
        print("0x" + public_key)
        match number % 3:
            case 0:
                clear.append(f'type: file-raw\nkeyType: BLS\nprivateKey: "0x{number:064x}"\n')
            case 1:
                write_keystore(directory / "keys", public_key, number)
                (directory / "keys" / f"{public_key}.password").write_text(password(number) + "\n")
                (directory / "keys" / f"{public_key}.yaml").write_text(
                    f"type: file-keystore\nkeyType: BLS\nkeystoreFile: {public_key}.json\n"
                    f"keystorePasswordFile: {public_key}.password\n"
                )
            case 2:
                write_keystore(directory / "bulk", public_key, number)
                (directory / "bulk-passwords" / f"{public_key}.txt").write_text(password(number))
    (directory / "keys" / "clear.yaml").write_text("---\n".join(clear))


def write_keystore(directory, public_key, number):
    (directory / f"{public_key}.json").write_text(json.dumps(keystore(public_key, number)))


def password(number):
    return f"password of key {number}"


def keystore(public_key, number):
    """EIP-2335."""
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    if number % 2:
        kdf = {"function": "scrypt", "params": {"dklen": 32, "n": 1024, "r": 8, "p": 1, "salt": salt.hex()}}
        derived = hashlib.scrypt(password(number).encode(), salt=salt, n=1024, r=8, p=1, dklen=32)
    else:
        kdf = {"function": "pbkdf2", "params": {"dklen": 32, "c": 1024, "prf": "hmac-sha256", "salt": salt.hex()}}
        derived = hashlib.pbkdf2_hmac("sha256", password(number).encode(), salt, 1024, dklen=32)
    cipher = subprocess.run(
        ["openssl", "enc", "-aes-128-ctr", "-K", derived[:16].hex(), "-iv", iv.hex()],
        input=number.to_bytes(32, "big"), stdout=subprocess.PIPE, check=True,
    ).stdout
    return {
        "version": 4,
        "uuid": str(uuid.uuid4()),
        "path": f"m/12381/3600/{number}/0/0",
        "pubkey": public_key,
        "crypto": {
            "kdf": kdf | {"message": ""},
            "checksum": {"function": "sha256", "message": hashlib.sha256(derived[16:] + cipher).hexdigest(), "params": {}},
            "cipher": {"function": "aes-128-ctr", "message": cipher.hex(), "params": {"iv": iv.hex()}},
        },
    }


def public_keys():
    """Those of the secret keys 1, 2, 3 and so on: each is the one before plus the generator of G1."""
    point = GENERATOR
    while True:
        x, y = point
        # Compressed, with a bit for the larger of the two values that y can have.
        yield f"{x | 1 << 383 | (y > FIELD // 2) << 381:096x}"
        slope = 3 * x * x * pow(2 * y, -1, FIELD) if point == GENERATOR else (y - GENERATOR[1]) * pow(x - GENERATOR[0], -1, FIELD)
        next_x = (slope * slope - x - GENERATOR[0]) % FIELD
        point = (next_x, (slope * (x - next_x) - y) % FIELD)


if __name__ == "__main__":
    main(*sys.argv[1:])
