"""E-mail addresses (RFC 5321, 6531 and 2606)."""

import random

from tests.data.privacy.drawing import drawn, some_digits

EMAIL_FRAMES = (
    "Write to {} before Friday.",
    "Contact: {}",
    "My address is {}, and hers too.",
    "({})",
    "<a href='mailto:{}'>write</a>",
    'author = "{}"',
    "From: Ann Lee <{}>",
    "reply-to={};",
    "name,{},2021-03-04,12.50",
    "Questions? {}!",
    '{"email":"{}"}'.replace('{"email', "\x01").replace('"}', "\x02").replace("\x01", '{"email').replace("\x02", '"}'),
    "# TODO(ann): ask {}",
    "Signed-off-by: A. Lee <{}>",
    "https://example.org/reset?to={}&lang=en",
    "请联系{}，谢谢",
    "Schreiben Sie an {}.",
    "cc: {}; bob",
)
NAMES = ("ann", "bob", "li", "jose", "marie", "p", "j.doe", "anna-lena", "o'brien", "m_k", "x1", "support", "Ann.Lee")
DOMAINS = ("example.com", "example.org", "mail.example.net", "dept.uni.example", "example.co.uk", "shop-24.example.de")


def email(random_: random.Random) -> tuple[str, str, tuple[str, ...]]:
    local = random_.choice(NAMES)
    domain = random_.choice(DOMAINS)
    form = random_.randrange(12)
    plain = EMAIL_FRAMES
    if form == 0:
        return "tag", f"{local}+news{some_digits(random_, 2)}@{domain}", plain
    if form == 1:
        return "upper", f"{local}@{domain}".upper(), plain
    if form == 2:
        return "digits", f"{local}{some_digits(random_, 4)}@{domain}", plain
    if form == 3:
        return "long", f"{drawn(random_, 64 - len(local))}{local}@{domain}".replace("'", "."), plain
    if form == 4:
        domain = random_.choice(
            ("bücher.example", "例え.テスト", "почта.испытание", "xn--bcher-kva.example", "παράδειγμα.δοκιμή")
        )
        return "unicode domain", f"{local}@{domain}", plain[:6]
    if form == 5:
        return "unicode name", f"{random_.choice(('josé.núñez', 'müller', 'пётр', 'ørsted'))}@{domain}", plain[:6]
    if form == 6:
        at = random_.choice((" (at) ", " [at] ", "[at]", "(AT)", " {at} "))
        return "bracketed at", f"{local}{at}{domain}".replace("'", "."), plain[:3]
    if form == 7:
        at, dot = random_.choice(((" [at] ", " [dot] "), ("(at)", "(dot)"), (" (AT) ", " (DOT) ")))
        return "bracketed at and dot", f"{local}{at}{domain.replace('.', dot)}".replace("'", "."), plain[:3]
    if form == 8:
        return "escaped", f"{local}{random_.choice(('%40', '&#64;'))}{domain}".replace("'", "."), plain[:6]
    if form == 9 and random_.random() < 0.25:  # RFC 5321 allows them; hardly anybody has them
        return "rare signs", f"{local}{random_.choice('!#=/')}dept@{domain}", plain[:3]
    return "plain", f"{local}@{domain}", plain
