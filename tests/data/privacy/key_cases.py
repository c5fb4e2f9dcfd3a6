"""Secrets. Tokens are put together from parts, so that no scanner takes this file for a leak."""

import base64
import random
import string
from collections.abc import Callable

from tests.data.privacy.drawing import drawn, some_digits

TOKEN_FRAMES = (
    "export TOKEN={}",
    'client = Client("{}")',
    "I pushed {} by mistake.",
    "curl -H 'Authorization: Bearer {}' https://api.example.com",
    "token: {}",
    '{"key": "{}"}'.replace('{"key": "{}"}', '["{}"]'),
    "--token {} --verbose",
    "use {} for staging, then revoke it",
)
VALUE_FRAMES = (
    'api_key = "{}"',
    "API_KEY={}",
    "secret: {}",
    "AWS_SECRET_ACCESS_KEY={}",
    '"client_secret": "{}",',
    "token => '{}'",
    "Authorization: Bearer {}",
    "x-api-key: {}",
    "run --api-key {} --fast",
    "private_key='{}'",
    "  access_token: {}",
    'config["auth_token"] = "{}"',
    "DB_PASSWORD={}",
    "AccountKey={};EndpointSuffix=core.example.net",
)
PASSWORD_FRAMES = (
    'password = "{}"',
    "PASSWORD={}",
    "passwd: {}",
    "mysql://root:{}@db.example.com:3306/shop",
    "https://ann:{}@git.example.com/a/b.git",
    '"pwd": "{}"',
    "db.password={}",
)
_HEX = "0123456789abcdef"
_BASE64URL = string.ascii_letters + string.digits + "-_"


def secret(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    form = random_.randrange(24)
    upper = string.ascii_uppercase + "234567"
    tokens: dict[int, Callable[[], tuple[str, str]]] = {
        0: lambda: ("AWS access key", random_.choice(("AK", "AS")) + "IA" + drawn(random_, 16, upper)),
        1: lambda: ("GitHub", f"gh{random_.choice('pousr')}_" + drawn(random_, 36)),
        2: lambda: ("GitHub, fine-grained", "github" + "_pat_" + drawn(random_, 22) + "_" + drawn(random_, 59)),
        3: lambda: ("GitLab", "gl" + "pat-" + drawn(random_, 20, _BASE64URL)),
        4: lambda: (
            "Slack, bot",
            f"xo{'xb'}-{some_digits(random_, 12)}-{some_digits(random_, 12)}-{drawn(random_, 24)}",
        ),
        5: lambda: (
            "Slack, app",
            f"xa{'pp'}-1-A{drawn(random_, 10, upper)}-{some_digits(random_, 13)}-" + drawn(random_, 64, _HEX),
        ),
        6: lambda: ("Google", "AI" + "za" + drawn(random_, 35, _BASE64URL)),
        7: lambda: ("OpenAI, old", "sk" + "-" + drawn(random_, 20) + "T3Blbk" + "FJ" + drawn(random_, 20)),
        8: lambda: (
            "OpenAI, project",
            "sk" + "-proj-" + drawn(random_, 74, _BASE64URL) + "T3Blbk" + "FJ" + drawn(random_, 74, _BASE64URL),
        ),
        9: lambda: (
            "like OpenAI",
            "sk" + random_.choice(("-ant-api03-", "-or-v1-", "-svcacct-")) + drawn(random_, 64),
        ),
        10: lambda: (
            "Stripe",
            random_.choice("sr") + "k_" + random_.choice(("live", "test")) + "_" + drawn(random_, 24),
        ),
        11: lambda: ("npm", "np" + "m_" + drawn(random_, 36)),
        12: lambda: ("Hugging Face", "h" + "f_" + drawn(random_, 34)),
        13: lambda: ("JWT", _jwt(random_)),
        14: lambda: ("JWT", _jwt(random_)),
        15: lambda: ("SendGrid", "S" + "G." + drawn(random_, 22, _BASE64URL) + "." + drawn(random_, 43, _BASE64URL)),
    }
    if form in tokens:
        return (*tokens[form](), TOKEN_FRAMES)
    if form in (16, 17):
        return "private key", _pem(random_), ("{}", "key: |\n{}\n", "cat > id <<E\n{}\nE")
    if form in (18, 19):
        return "named, hexadecimal", drawn(random_, random_.choice((32, 40, 64)), _HEX), VALUE_FRAMES
    if form in (20, 21):
        return (
            "named, base64",
            drawn(random_, random_.choice((24, 40, 86)), string.ascii_letters + string.digits + "+/"),
            VALUE_FRAMES,
        )
    words = ("Sunrise", "correct", "Tiger", "wint3r", "qWerty")
    password = (
        random_.choice(words)
        + random_.choice(("-", "_", "!", ""))
        + some_digits(random_, 4)
        + random_.choice(("", "x", "Q"))
    )
    return "password", password, PASSWORD_FRAMES


def _jwt(random_: random.Random) -> str:
    """RFC 7519, section 3.1: base64url of two JSON objects, and of a signature."""
    parts = (
        '{"alg":"HS256","typ":"JWT"}',
        f'{{"sub":"{some_digits(random_, 10)}","name":"A","iat":{some_digits(random_, 10)}}}',
    )
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, drawn(random_, 43, _BASE64URL)))


def _pem(random_: random.Random) -> str:
    label = random_.choice(
        ("RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    )
    newline = random_.choice(("\n", "\n", "\\n"))
    lines = [drawn(random_, 64, string.ascii_letters + string.digits + "+/") for _ in range(random_.randrange(3, 9))]
    return newline.join((f"-----BEGIN {label}-----", *lines, "MIIBOg==", f"-----END {label}-----"))
