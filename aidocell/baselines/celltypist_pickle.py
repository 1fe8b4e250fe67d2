"""What the pickle of a CellTypist model holds, read without unpickling it.

A pickle is a program. Here its instructions are decoded and followed by hand, in a machine that
knows a few dozen of them and can neither import nor call anything: a named class becomes a record
of its attributes, an array becomes its bytes. Whatever else the program asks for ends the reading.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Array", "Estimator", "UnsafePickle", "read_pickle"]

MOST_INSTRUCTIONS = 3_000_000  # two for every gene and class name, and some hundred besides
_CODES = re.compile(r"[biuf]\d{1,2}|U\d{1,5}|O8?")
_SHARED = ("numpy.core.", "numpy._core.")
_ESTIMATORS = {
    f"sklearn.{module}.{name}": name
    for module, name in [
        ("linear_model._logistic", "LogisticRegression"),
        ("linear_model.logistic", "LogisticRegression"),
        ("linear_model._stochastic_gradient", "SGDClassifier"),
        ("linear_model.stochastic_gradient", "SGDClassifier"),
        ("preprocessing._data", "StandardScaler"),
        ("preprocessing.data", "StandardScaler"),
    ]
}
_LOSSES = {  # an SGDClassifier carries one along; nothing of it is kept
    "sklearn.linear_model._sgd_fast.Log",
    "sklearn.linear_model.sgd_fast.Log",
    "_loss.CyHalfBinomialLoss",  # scikit-learn 1.7 names its module so
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "_loss.__pyx_unpickle_CyHalfBinomialLoss",
    "sklearn._loss._loss.__pyx_unpickle_CyHalfBinomialLoss",
}
_NUMPY = {
    **{f"{start}multiarray._reconstruct": "reconstruct" for start in _SHARED},
    **{f"{start}multiarray.scalar": "scalar" for start in _SHARED},
    **{f"{start}numeric._frombuffer": "frombuffer" for start in _SHARED},
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
}


class UnsafePickle(Exception):
    """The pickle asks for something that no model needs; the text says for what."""


@dataclass
class Estimator:
    """A class of scikit-learn by its name, and its attributes."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Array:
    """A NumPy array as the pickle has it; nothing is made of it before it is asked for."""

    shape: tuple[int, ...] = (0,)
    type: str = "u1"
    fortran: bool = False
    content: bytes | list = b""

    def values(self) -> np.ndarray:
        """The array itself; of objects only text and plain numbers.

        Raises
        ------
        ValueError
            The content does not fit the shape, or holds something else.
        """
        order = "F" if self.fortran else "C"
        if not isinstance(self.content, list):
            return np.frombuffer(self.content, self.type).reshape(self.shape, order=order)
        if not all(isinstance(value, str | int | float) for value in self.content):
            raise ValueError("an array of objects that are neither text nor numbers")
        values = np.empty(len(self.content), dtype=object)
        values[:] = self.content
        return values.reshape(self.shape, order=order)


@dataclass
class _Type:
    code: str
    order: str = "="

    def name(self) -> str:
        return "O" if self.code.startswith("O") else self.order + self.code


@dataclass(frozen=True)
class _Name:
    kind: str  # estimator, loss, or one of numpy's
    name: str


class _Nothing:
    """In the place of what is not kept."""


def read_pickle(data: bytes) -> Any:
    """Follow the instructions of `data` to the object that they describe.

    Raises
    ------
    UnsafePickle
        An instruction, class or function that no model needs.
    ValueError, IndexError, KeyError, TypeError, AttributeError
        A pickle that is cut off or contradicts itself.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count > MOST_INSTRUCTIONS:
            raise UnsafePickle(f"it has more than {MOST_INSTRUCTIONS} instructions")
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.follow(opcode.name, argument)
    raise ValueError("it has no end")


class _Machine:
    """Stack, marks and memo of a pickle, filled with inert values alone."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(_literal(argument))
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self.memo[argument])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise UnsafePickle(f"it has the instruction {name}")

    def pops(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("it takes more than it has")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def since_mark(self) -> list[Any]:
        taken, self.stack = self.stack, self.marked.pop()
        return taken

    def mark(self, _: None) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def tuple_since_mark(self, _: None) -> None:
        values = tuple(self.since_mark())  # first: it changes which list is the stack
        self.stack.append(values)

    def append(self, values: list[Any]) -> None:
        _of(self.stack[-1], list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        keys = values[::2]
        if not all(isinstance(key, str) for key in keys):  # the hash of a deep tuple takes for ever
            raise UnsafePickle("it has a dictionary whose keys are not text")
        _of(self.stack[-1], dict).update(zip(keys, values[1::2], strict=True))

    def name(self, module: Any, name: Any) -> None:
        self.stack.append(_named(f"{_of(module, str)}.{_of(name, str)}"))

    def new(self, _: None) -> None:
        cls, _arguments = self.pops(2)
        if not isinstance(cls, _Name) or cls.kind != "estimator":
            raise UnsafePickle(f"it makes an object of {_told(cls)}")
        self.stack.append(Estimator(cls.name))

    def call(self, _: None) -> None:
        function, arguments = self.pops(2)
        if not isinstance(function, _Name) or function.kind not in _CALLS:
            raise UnsafePickle(f"it calls {_told(function)}")
        self.stack.append(_CALLS[function.kind](*_of(arguments, tuple)))

    def build(self, _: None) -> None:
        (state,) = self.pops(1)
        thing = self.stack[-1]
        if isinstance(thing, Estimator):
            thing.attributes.update(_of(state, dict))
        elif isinstance(thing, Array):
            _version, shape, type_, fortran, content = _of(state, tuple)
            _fill(thing, shape, type_, bool(fortran), content)
        elif isinstance(thing, _Type):
            thing.order = {"|": "=", "<": "<", ">": ">", "=": "="}[_of(state, tuple)[1]]
        elif not isinstance(thing, _Nothing):
            raise UnsafePickle(f"it sets attributes of {_told(thing)}")


def _named(name: str) -> _Name:
    if name in _ESTIMATORS:
        return _Name("estimator", _ESTIMATORS[name])
    if name in _LOSSES:
        return _Name("loss", name)
    if name in _NUMPY:
        return _Name(_NUMPY[name], name)
    raise UnsafePickle(f"it names {name[:100]}")


def _new_type(code: Any, *_: Any) -> _Type:
    if not _CODES.fullmatch(_of(code, str)):
        raise UnsafePickle(f"it has an array of type {code[:100]}")
    return _Type(code)


def _from_buffer(content: Any, type_: Any, shape: Any, order: Any) -> Array:
    return _fill(Array(), shape, type_, order == "F", content)


def _scalar(type_: Any, content: Any = b"") -> Any:
    array = _fill(Array(), (1,), type_, False, content)
    return array.values()[0].item()


def _fill(array: Array, shape: Any, type_: Any, fortran: bool, content: Any) -> Array:
    name = _of(type_, _Type).name()
    array.content = _of(content, list if name == "O" else bytes | bytearray)
    array.shape = tuple(_of(length, int) for length in _of(shape, tuple))
    array.type, array.fortran = name, fortran
    return array


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        value.encode()  # half a surrogate could be written nowhere
    return value


def _of(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{_told(value)} in the wrong place")
    return value


def _told(value: Any) -> str:
    return value.name if isinstance(value, _Name) else f"something of type {type(value).__name__}"


_LITERALS = {
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_PUTS, _GETS = {"MEMOIZE", "BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}
_STEPS = {
    "MARK": _Machine.mark,
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "TUPLE": _Machine.tuple_since_mark,
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.pops(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.pops(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.pops(3))),
    "APPEND": lambda m, _: m.append(m.pops(1)),
    "APPENDS": lambda m, _: m.append(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items(m.pops(2)),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "GLOBAL": lambda m, argument: m.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.pops(2)),
    "NEWOBJ": _Machine.new,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
_CALLS = {
    "reconstruct": lambda *_: Array(),
    "dtype": _new_type,
    "frombuffer": _from_buffer,
    "scalar": _scalar,
    "loss": lambda *_: _Nothing(),
}
