"""How the SQuAD evaluation reads an answer: lower case, no punctuation, no articles, single spaces.

Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1, and the script
published with it. It knows English only: of the punctuation the ASCII marks, of the articles a, an and the.
"""

import re
import string

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """`answer` as the evaluation compares it."""
    return " ".join(_ARTICLE.sub(" ", answer.lower().translate(_WITHOUT_PUNCTUATION)).split())
