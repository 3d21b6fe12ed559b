# SPDX-License-Identifier: MIT
"""Kubernetes quantities: "250m", "1.5Gi", "1e3", read exactly and written canonically."""
import fractions
import math
import re

FORMAT_ERROR = ("quantities must match the regular expression "
                "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")

_QUANTITY = re.compile(r"^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
                       r"(?:(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|)|([eE][+-]?[0-9]+))$")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


class BadQuantity(ValueError):
    def __init__(self):
        super().__init__(FORMAT_ERROR)


def _split(text):
    """Its exact value and its format: 'binary', 'decimal' or 'exponent'."""
    found = _QUANTITY.match(text.strip()) if isinstance(text, str) else None
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        found = _QUANTITY.match(str(text))
    if not found:
        raise BadQuantity()
    number, suffix, exponent = found.groups()
    value = fractions.Fraction(number.rstrip("."))
    if exponent:
        return value * fractions.Fraction(10) ** int(exponent[1:]), "exponent"
    if suffix in _BINARY:
        return value * 1024 ** _BINARY[suffix], "binary"
    return value * fractions.Fraction(1000) ** _DECIMAL[suffix], "decimal"


def value(text):
    """The exact value, as a Fraction."""
    return _split(text)[0]


def milli(text):
    """In thousandths, rounded up, as Kubernetes counts CPU."""
    return math.ceil(value(text) * 1000)


def whole(text):
    """Rounded up, as Kubernetes counts bytes."""
    return math.ceil(value(text))


def canonical(text):
    """The one way Kubernetes writes this quantity: 1000m is 1, 0.5 is 500m, 1024Mi is 1Gi."""
    amount, form = _split(text)
    if form == "binary" and abs(amount) >= 1024:
        return _write_binary(math.ceil(amount))
    return _write_decimal(amount, form == "exponent")


def _write_binary(amount):
    power = 0
    while amount % 1024 == 0 and power < 6:
        amount //= 1024
        power += 1
    return str(amount) + ["", *_BINARY][power]


def _write_decimal(amount, with_exponent):
    nano = math.ceil(amount * 10 ** 9)
    if nano == 0:
        return "0"
    power = -3
    while nano % 1000 == 0 and power < 6:
        nano //= 1000
        power += 1
    if with_exponent:
        return f"{nano}e{power * 3}" if power else str(nano)
    return str(nano) + next(suffix for suffix, p in _DECIMAL.items() if p == power)


def from_milli(thousandths):
    return canonical(f"{thousandths}m")


def add(left, right):
    """The sum, in the left one's format."""
    amount, form = _split(left)
    amount += value(right)
    if form == "binary" and abs(amount) >= 1024:
        return _write_binary(math.ceil(amount))
    return _write_decimal(amount, False)
