"""IP addresses (RFC 4291)."""

import random

ADDRESS_FRAMES = (
    "Failed login from {} port 52211 ssh2",
    "curl http://{}:8080/status",
    "The server at {} answered.",
    'host = "{}"',
    '{} - - [10/Oct/2020:13:55:36 +0000] "GET / HTTP/1.1" 200 2326',
    "Blocked {}.",
    "ip={}&port=80",
    "ping {} -c 3",
    "A record: {}",
    "allow {}/32;",
    "{}, {} hops".replace("{} hops", "9 hops"),
    "client [{}] left",
)
ADDRESS6_FRAMES = (
    "Failed login from {} port 52211",
    "curl http://[{}]:8080/status",
    "AAAA {}",
    'host = "{}"',
    "Blocked {}.",
    "ping6 {} -c 3",
    "route {}/64",
    "inet6 {} prefixlen 64",
)


def address(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    if random_.random() < 0.6:
        # First octets that no special registry holds any part of.
        first = random_.choice((5, 23, 34, 52, 62, 81, 89, 93, 104, 128, 142, 151, 178, 185, 199, 212, 217))
        return "IPv4", ".".join(str(n) for n in (first, *(random_.randrange(256) for _ in range(3)))), ADDRESS_FRAMES
    groups = [f"{random_.choice((0x2400, 0x2600, 0x2A00, 0x2804, 0x2C0F)):x}"]
    groups += [f"{random_.randrange(1, 65536):x}" for _ in range(7)]
    style = random_.randrange(4)
    if style == 0:
        return "IPv6, full", ":".join(group.zfill(4) for group in groups), ADDRESS6_FRAMES
    if style == 1:
        kept = random_.randrange(2, 6)
        return "IPv6, shortened", ":".join(groups[:kept]) + "::" + ":".join(groups[kept : kept + 1]), ADDRESS6_FRAMES
    if style == 2:
        return "IPv6, upper case", ":".join(groups).upper(), ADDRESS6_FRAMES
    return "IPv6", ":".join(groups), ADDRESS6_FRAMES
