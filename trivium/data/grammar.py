"""A context-free language with an exact answer to every question: is this a sentence, how many are there, draw some.

    ARITHMETIC.sentences(3000, longest=15, seed=0)      # "( x + 1 ) * y", "[ z - 2 ]", ...
    "( x + 1 ] * y".split() in ARITHMETIC               # False: the brackets do not match

To learn such a language a generator has to count and to remember what it opened, which no n-gram does, and a sample is
right or wrong: the share that is right is its *validity*. (Kusner and Hernandez-Lobato 2016, "GANs for Sequences of
Discrete Elements with the Gumbel-softmax Distribution", learn the expressions of such a grammar.)

Sentences are counted by their derivations, so a sentence is drawn by drawing its number: the lengths are evenly likely,
and within one all sentences are. The entropy of the drawn sentences is then known, and with it the least negative
log-likelihood that any generator can have on them.
"""

import functools
import math
import operator
import random
from collections.abc import Mapping, Sequence

from trivium.errors import ConfigError, DataError

Symbols = tuple[str, ...]
Rules = Mapping[str, Sequence[Symbols]]


class Grammar:
    """A context-free grammar. Each sentence has to have one derivation for counts and draws to be of sentences.

    Words of a rule that have no rules of their own are the terminals.
    """

    def __init__(self, rules: Mapping[str, Sequence[str]], *, start: str) -> None:
        """`rules` give each symbol its alternatives, with spaces between the symbols: {"sum": ("one", "sum + one")}.

        Raises `ConfigError` where `start` has no rule, an alternative is empty, or a symbol becomes itself by rules of
        one symbol, which would be derivations without end.
        """
        self._rules: Rules = {symbol: [tuple(words.split()) for words in given] for symbol, given in rules.items()}
        self._start = (start,)
        if start not in self._rules:
            raise ConfigError("the start symbol has no rule", received=start, expected=" or ".join(self._rules))
        for symbol, given in self._rules.items():
            if not all(given):
                raise ConfigError("a rule gives nothing at all", received=symbol, fix="write the rules without it")
        words = (word for given in self._rules.values() for words in given for word in words)
        self.terminals: Symbols = tuple(dict.fromkeys(word for word in words if word not in self._rules))
        """The words that sentences are of, in the order in which the rules name them."""
        self._recogniser = _Recogniser(self._rules, self.terminals)
        self._known: dict[tuple[Symbols, int], list[tuple[Symbols | int, int]]] = {}

    def __contains__(self, words: Sequence[str]) -> bool:
        """Whether these words are a sentence. Cubic in their number."""
        return self._recogniser.derives(self._start[0], words)

    def count(self, length: int) -> int:
        """How many sentences have so many words; exactly."""
        return self._count(self._start, length)

    def sentence(self, length: int, number: int) -> list[str]:
        """The sentence of `length` words with this number, from 0 and below `count(length)`: each has its own."""
        if not 0 <= number < self.count(length):
            expected = f"at least 0 and below {self.count(length)}"
            raise DataError(f"there is no such sentence of {length} words", received=number, expected=expected)
        return self._numbered(self._start, length, number)

    def lengths(self, longest: int) -> list[int]:
        """The lengths up to `longest` words that there are sentences of. Raises `DataError` where there is none."""
        found = [length for length in range(1, longest + 1) if self.count(length)]
        if not found:
            raise DataError("there is no sentence so short", received=f"longest {longest}", fix="allow longer ones")
        return found

    def sentences(self, count: int, *, longest: int, seed: int) -> list[str]:
        """`count` sentences of at most `longest` words, with spaces between them, each drawn for itself.

        A larger draw with the same seed begins with the smaller one. There are few short sentences, so these come more
        than once. Raises `DataError` where no sentence is so short.
        """
        lengths, chance = self.lengths(longest), random.Random(seed)
        drawn = (chance.choice(lengths) for _ in range(count))
        return [" ".join(self.sentence(length, chance.randrange(self.count(length)))) for length in drawn]

    def nats(self, longest: int) -> float:
        """The entropy of a sentence as `sentences` draws it, its length included.

        No model has a lower mean negative log-likelihood of such sentences and their ends.
        """
        lengths = self.lengths(longest)
        return math.log(len(lengths)) + math.fsum(math.log(self.count(length)) for length in lengths) / len(lengths)

    def _count(self, symbols: Symbols, length: int) -> int:
        """Derivations of `length` words from these symbols."""
        return sum(count for _, count in self._ways(symbols, length))

    def _ways(self, symbols: Symbols, length: int) -> list[tuple[Symbols | int, int]]:
        """What can be done next, with the derivations of each: apply a rule to a symbol that stands alone, or give the
        first of several symbols so many words. Nothing is done to a word. A symbol is at least one word."""
        key = symbols, length
        if key not in self._known:
            first, rest = symbols[0], symbols[1:]
            if rest:
                sizes = range(1, length - len(rest) + 1)
                ways = [(size, self._count((first,), size) * self._count(rest, length - size)) for size in sizes]
            elif first in self._rules:
                ways = [(words, self._count(words, length)) for words in self._rules[first] if len(words) <= length]
            else:
                ways = [((), int(length == 1))]
            self._known[key] = [(way, count) for way, count in ways if count]
        return self._known[key]

    def _numbered(self, symbols: Symbols, length: int, number: int) -> list[str]:
        """The derivation with this number, in the order of `_ways`."""
        first, rest = symbols[0], symbols[1:]
        for way, count in self._ways(symbols, length):
            if number >= count:
                number -= count
            elif isinstance(way, int):
                of_first, of_rest = divmod(number, self._count(rest, length - way))
                return self._numbered((first,), way, of_first) + self._numbered(rest, length - way, of_rest)
            else:
                return self._numbered(way, length, number) if way else [first]
        raise AssertionError("a number below the count has a derivation")


class _Recogniser:
    """The table of Cocke, Younger and Kasami, in which a set of symbols is a number with one bit each."""

    def __init__(self, rules: Rules, terminals: Symbols) -> None:
        """What is left of a rule behind its first symbol is a symbol too. Raises `ConfigError` as `Grammar` does."""
        self._numbers: dict[Symbols, int] = {}
        above: dict[int, list[int]] = {}
        pairs: list[tuple[int, int, int]] = []
        for symbol, given in rules.items():
            for words in given:
                whole = self._number((symbol,))
                if len(words) == 1:
                    above.setdefault(self._number(words), []).append(whole)
                for place in range(1, len(words)):
                    left, right = self._number(words[place - 1 : place]), self._number(words[place:])
                    pairs.append((whole, left, right))
                    whole = right
        closed = [_closed(number, above) for number in self._numbers.values()]
        self._words = {word: closed[self._numbers[word,]] for word in terminals}
        self._pairs = [(closed[whole], left, right) for whole, left, right in pairs]
        self._joined: dict[tuple[int, int], int] = {}

    def derives(self, symbol: str, words: Sequence[str]) -> bool:
        """Whether `symbol` becomes these words."""
        # table[begin][size]: the symbols that become so many words from there on.
        table = [[0, self._words.get(word, 0)] for word in words]
        for size in range(2, len(words) + 1):
            for begin in range(len(words) - size + 1):
                found, row = 0, table[begin]
                for left in range(1, size):
                    both = row[left], table[begin + left][size - left]
                    whole = self._joined.get(both)
                    found |= self._join(both) if whole is None else whole
                row.append(found)
        return bool(words) and bool(table[0][-1] >> self._numbers[symbol,] & 1)

    def _join(self, both: tuple[int, int]) -> int:
        """The symbols that become one of the first followed by one of the second; kept, for such pairs are few."""
        first, second = both
        wholes = (whole for whole, left, right in self._pairs if first >> left & second >> right & 1)
        self._joined[both] = functools.reduce(operator.or_, wholes, 0)
        return self._joined[both]

    def _number(self, symbols: Symbols) -> int:
        return self._numbers.setdefault(symbols, len(self._numbers))


def _closed(number: int, above: Mapping[int, Sequence[int]]) -> int:
    """The symbol and all that become it by rules of one symbol."""
    found, reached = 1 << number, list(above.get(number, ()))
    while reached:
        symbol = reached.pop()
        if symbol == number:
            raise ConfigError("a symbol becomes itself by rules of one symbol", fix="write the rules without it")
        if not found >> symbol & 1:
            found |= 1 << symbol
            reached += above.get(symbol, ())
    return found


ARITHMETIC = Grammar(
    {
        "sum": ("product", "sum + product", "sum - product"),
        "product": ("factor", "product * factor", "product / factor"),
        "factor": ("x", "y", "z", "1", "2", "( sum )", "[ sum ]"),
    },
    start="sum",
)
"""Expressions over three names and two numbers with two kinds of brackets, which have to match: 13 words."""
