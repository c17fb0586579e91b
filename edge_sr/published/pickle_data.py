"""Pickles as data: what they describe, without a call of anything they name.

A pickle is a program; ``pickle.load`` imports and calls what it asks for. Here its instructions,
which ``pickletools`` of the standard library decodes, only build the plain values below, so a
hostile file has nothing to run.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names, such as ``torch.FloatStorage``."""

    name: str


@dataclass
class Record:
    """What a call of ``name`` would have returned: its arguments, then its state and items.

    A persistent id, which only the file around the pickle can resolve, is named PERSISTENT.
    """

    name: str
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


PERSISTENT = "persistent id"
# Of instructions whose argument is the value itself.
_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
# Nothing is ever called; a file that asks for one of these is not worth reading on.
_HOSTILE_MODULES = (
    *("os", "posix", "nt", "io", "_io", "subprocess", "sys", "shutil", "socket", "ctypes"),
    *("runpy", "importlib", "pty", "webbrowser", "pickle"),
)
_HOSTILE_BUILTINS = ("eval", "exec", "compile", "open", "__import__")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


@dataclass(frozen=True)
class Pickle:
    """The value, and the records of the persistent ids in it."""

    value: Any
    persistent_ids: tuple[Record, ...]


def read_pickle(data: io.BytesIO) -> Pickle:
    """The pickle that begins at the current position; leaves ``data`` after it.

    Raises ValueError for what is no pickle, ends early or uses an unusual instruction.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(f"the pickle is damaged ({type(error).__name__}: {error})") from error
    return Pickle(machine.result, tuple(machine.persistent_ids))


class _Machine:
    """The stack, the marks (as a stack of stacks) and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.persistent_ids: list[Record] = []
        self.result: Any = None

    def step(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        if name in _LITERALS:
            self.push(argument)
        elif name in _CONSTANTS:
            self.push(_CONSTANTS[name])
        elif name in _MEMO:
            self._memorise(_MEMO[name], argument)
        elif name in ("GLOBAL", "INST"):
            self._name(argument, call=name == "INST")
        elif name == "PERSID":
            self.persistent_id(argument)
        elif name in _STACK:
            _STACK[name](self)
        else:
            raise ValueError(f"the pickle uses the instruction {name}, which weights do not need")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def _memorise(self, kind: str, argument: int | None) -> None:
        if kind == "get":
            assert argument is not None
            self.push(self.memo[argument])
        else:
            index = len(self.memo) if argument is None else argument
            self.memo[index] = self.stack[-1]

    def _name(self, argument: str, *, call: bool) -> None:
        module, _, attribute = argument.partition(" ")
        name = f"{module}.{attribute}"
        self.push(_record(name, tuple(self.marked())) if call else Name(name))

    def stack_name(self) -> None:
        """STACK_GLOBAL."""
        attribute, module = self.stack.pop(), self.stack.pop()
        self.push(Name(f"{module}.{attribute}"))

    def mark(self) -> None:
        """MARK."""
        self.below.append(self.stack)
        self.stack = []

    def marked(self) -> list[Any]:
        """What was pushed since the last mark, which goes."""
        values, self.stack = self.stack, self.below.pop()
        return values

    def pop(self) -> None:
        """POP, which takes a mark where nothing was pushed since."""
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def take(self, count: int) -> tuple[Any, ...]:
        """The last ``count`` values."""
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        values = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return values

    def call(self, count: int) -> None:
        """REDUCE, NEWOBJ and NEWOBJ_EX: a callable and its arguments become a record."""
        function, arguments, *_ = self.take(count)
        if not isinstance(function, (Name, Record)) or not isinstance(arguments, tuple):
            raise ValueError("the pickle is damaged: it calls what has no name")
        self.push(_record(_called(function), arguments))

    def call_marked(self) -> None:
        """OBJ."""
        function, *arguments = self.marked()
        self.push(_record(_called(function), tuple(arguments)))

    def build(self) -> None:
        """BUILD: the state of a record; that of a plain value is left out."""
        (state,) = self.take(1)
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state = state

    def append(self, values: list[Any]) -> None:
        """Add to the list, set or record below."""
        target = self.stack[-1]
        if isinstance(target, Record):
            target = target.elements
        if not isinstance(target, list):
            raise TypeError("only lists are appended to")
        target.extend(values)

    def set_items(self, flat: list[Any]) -> None:
        """Set keys and values, which alternate, of the dictionary or record below."""
        target = self.stack[-1]
        if isinstance(target, Record):
            target = target.items
        if not isinstance(target, dict):
            raise TypeError("only dictionaries have items")
        target.update(_items(flat))

    def persistent_id(self, value: Any) -> None:
        """PERSID and BINPERSID."""
        parts = value if isinstance(value, tuple) else (value,)
        self.persistent_ids.append(Record(PERSISTENT, parts))
        self.push(self.persistent_ids[-1])

    def stop(self) -> None:
        """STOP."""
        (self.result,) = self.take(1)


def _record(name: str, arguments: tuple[Any, ...]) -> Record:
    module, _, attribute = name.partition(".")
    is_builtin = module in ("builtins", "__builtin__")
    if module in _HOSTILE_MODULES or (is_builtin and attribute in _HOSTILE_BUILTINS):
        raise ValueError(f"it asks to call {name}, as no weights do; it was not called")
    return Record(name, arguments)


def _called(function: Any) -> str:
    """The name of what is called; a persistent id of a class tells its name within."""
    if isinstance(function, Record) and function.name == PERSISTENT:
        for part in function.arguments:
            if isinstance(part, Name):
                return part.name
    return str(getattr(function, "name", "unknown"))


def _items(flat: list[Any]) -> dict[Any, Any]:
    """Keys that are no text or number are left out: hashing what a file nests may not end."""
    keys, values = flat[::2], flat[1::2]
    return {k: v for k, v in zip(keys, values, strict=True) if isinstance(k, (str, int, float))}


_MEMO = {
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), "put"),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), "get"),
}
_STACK: dict[str, Callable[[_Machine], Any]] = {
    "PROTO": lambda m: None,
    "FRAME": lambda m: None,
    "STOP": _Machine.stop,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.marked,
    "DUP": lambda m: m.push(m.stack[-1]),
    "EMPTY_TUPLE": lambda m: m.push(()),
    "EMPTY_LIST": lambda m: m.push([]),
    "EMPTY_DICT": lambda m: m.push({}),
    "EMPTY_SET": lambda m: m.push([]),
    "TUPLE1": lambda m: m.push(m.take(1)),
    "TUPLE2": lambda m: m.push(m.take(2)),
    "TUPLE3": lambda m: m.push(m.take(3)),
    "TUPLE": lambda m: m.push(tuple(m.marked())),
    "LIST": lambda m: m.push(m.marked()),
    "DICT": lambda m: m.push(_items(m.marked())),
    "FROZENSET": lambda m: m.push(m.marked()),
    "APPEND": lambda m: m.append(list(m.take(1))),
    "APPENDS": lambda m: m.append(m.marked()),
    "ADDITEMS": lambda m: m.append(m.marked()),
    "SETITEM": lambda m: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m: m.set_items(m.marked()),
    "STACK_GLOBAL": _Machine.stack_name,
    "BINPERSID": lambda m: m.persistent_id(*m.take(1)),
    "REDUCE": lambda m: m.call(2),
    "NEWOBJ": lambda m: m.call(2),
    "NEWOBJ_EX": lambda m: m.call(3),
    "OBJ": _Machine.call_marked,
    "BUILD": _Machine.build,
}
