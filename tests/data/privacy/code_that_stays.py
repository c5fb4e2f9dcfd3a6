"""Code, paths and addresses that are the same for everyone."""

import random

from tests.data.privacy.drawing import some_digits


def port(r: random.Random) -> str:
    return r.choice(
        (
            "http://localhost:8080/a/b",
            "listen 0.0.0.0:443",
            "127.0.0.1:5432",
            "ports 8000-8010",
            "tcp/65535",
            "bind [::1]:53",
        )
    )


def private_address(r: random.Random) -> str:
    a = f"{r.randrange(256)}.{r.randrange(1, 255)}"
    return r.choice(("192.168.{}", "10.1.{}", "172.16.{}", "gateway 10.0.{}/16")).format(a) + r.choice(
        (
            "",
            ", 255.255.255.0",
            " via 192.0.2.1",
            " and 203.0.113.7, fe80::1, 2001:db8::8a2e:370:7334, fd12:3456:789a::1",
        )
    )


def hardware(r: random.Random) -> str:
    mac = ":".join(f"{b:02x}" for b in r.randbytes(6))
    return r.choice(
        (
            f"ether {mac}",
            f"MAC {mac.upper()}",
            "std::vector<int>::iterator",
            "a::b::c",
            "ratio 1:2:3:4",
            "abcd::beef()",
            "12:34:56",
        )
    )


def mention(r: random.Random) -> str:
    return r.choice(
        (
            "thanks @ann_lee and @bob!",
            "@property\ndef name(self): ...",
            "@app.route('/x')",
            "@dataclass(frozen=True)",
            "@media screen and (max-width: 600px)",
            "@types/node",
            "meet @ 5.30 at noon",
            "12 @ 3.50 EUR each",
            "@example.com is the domain",
            "look at example.com",
            "@param x the value",
        )
    )


def package(r: random.Random) -> str:
    return r.choice(
        (
            "left-pad@1.3.0",
            "npm i react@18.2.0-rc.1",
            "uses: actions/checkout@v4",
            "logo@2x.png",
            "git clone git@github.com:ann/trees.git",
            "ssh://git@example.com/trees.git",
            "root@localhost:~#",
            "user@host",
            "@scope/pkg@1.0.0.tgz",
            "icon@3x.webp",
        )
    )


def code(r: random.Random) -> str:
    return r.choice(
        (
            "y = x@w.transpose(0, 1)",
            "h = a@b.T + c",
            "q@k.mT",
            "out = W@x",
            "scores = q@k.reshape(n, -1)",
            "A @ B.T",
            "for (i = 0; i < 1000000; i++)",
            "x[1000000:2000000]",
            "@@ -120,15 +123,18 @@",
            "0x7fffffff + 1 - 2",
            "re.compile('[0-9]+')",
        )
    )


def no_secret(r: random.Random) -> str:
    return r.choice(
        (
            "password = getpass.getpass()",
            "token: str | None = None",
            "api_key=os.environ['API_KEY']",
            "secret = None",
            "API_KEY=YOUR_API_KEY_HERE",
            'password: "${DB_PASSWORD}"',
            "token = tokenizer.encode(text, special=False)",
            "the key: understanding-comes-before-doing",
            "password: required|min:8",
            "auth = HTTPBasicAuth(user, password)",
            "key = lambda item: item.priority_level",
            "max_token_length: 4096",
            "sk-toggleable__label-arrow sk-estimator-doc-link",
            "tokens: 1048576",
            "secret: see https://example.com/docs/secrets",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
            "password_field = form.password_confirmation",
            "AUTH: authentication/authorization-service",
            "secret_name = 'production/database/primary'",
            "eyJust a word",
            "pk_" + "live_is_published",
            "token_type: bearer_token_usage",
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
            "--key-file=/etc/ssl/private/server.pem",
        )
    )


def amount(r: random.Random) -> str:
    return r.choice(
        (
            f"${some_digits(r, 3)} {some_digits(r, 3)} {some_digits(r, 4)}",
            f"{r.randrange(10, 99)}-{some_digits(r, 2)}, 3-1, 2:2",
            f"{some_digits(r, 3)}x{some_digits(r, 4)}x{some_digits(r, 3)}",
            f"€1 {some_digits(r, 3)} {some_digits(r, 3)}",
            "1 + 2 - 3 / 4 = 0.25",
            f"{some_digits(r, 4)}-{some_digits(r, 4)} kg",
            "score 21-19 18-21 21-15",
            "call f(1000000, 2000000)",
            "phone model 3310 and 6110i",
            "Boeing 747-400, 767-300ER",
        )
    )


def path(r: random.Random) -> str:
    return r.choice(
        (
            f"/var/log/app-{some_digits(r, 8)}.log",
            f"C:\\data\\{some_digits(r, 10)}\\x.csv",
            f"s3://bucket/2023/01/02/{some_digits(r, 12)}.gz",
            f"IMG_{some_digits(r, 8)}_{some_digits(r, 6)}.jpg",
            f"https://example.com/a/{some_digits(r, 10)}?p={some_digits(r, 6)}",
            f"img-{some_digits(r, 4)}-{some_digits(r, 3)}-{some_digits(r, 4)}.png",
        )
    )
