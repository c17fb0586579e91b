"""Hostile and damaged pickles: nothing runs, nothing hangs, one line says what is wrong."""

from __future__ import annotations

import builtins
import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_sr.published.pickle_data import Name, Record, read_pickle
from edge_sr.published.weights_file import read_weights


class Payload:
    """Calls ``function`` when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class WithState:
    """Would run code of its own on being unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(state["path"]).touch()


def value_of(data: bytes) -> Any:
    return read_pickle(io.BytesIO(data)).value


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back(protocol: int) -> None:
    value = {"a": [1, -2, 1 << 70, 2.5, None, True], "b": ("text", ("x",), {}), 3: [False, [], ()]}
    value["c"] = value["a"]
    assert value_of(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
def test_objects_become_records(protocol: int) -> None:
    data = pickle.dumps(collections.OrderedDict(a=1), protocol)
    record = value_of(data)
    assert isinstance(record, Record)
    assert record.name == "collections.OrderedDict"
    assert value_of(pickle.dumps(collections.OrderedDict, protocol)) == Name(
        "collections.OrderedDict"
    )


def test_state_is_kept_and_not_set(tmp_path: Path) -> None:
    inert = WithState()
    vars(inert)["path"] = str(tmp_path / "ran")
    record = value_of(pickle.dumps(inert))
    assert record.state == {"path": str(tmp_path / "ran")}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ["system", "eval", "exec", "open"])
def test_hostile_checkpoint_is_refused_and_not_run(
    tmp_path: Path, kind: str, *, zipped: bool
) -> None:
    marker = tmp_path / "ran"
    payload = {
        "system": Payload(os.system, f"touch {marker}"),
        "eval": Payload(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "exec": Payload(builtins.exec, f"open({str(marker)!r}, 'w')"),
        "open": Payload(builtins.open, str(marker), "w"),
    }[kind]
    state = {"first_part.0.weight": torch.zeros(2, 1, 5, 5), "hook": payload}
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"it asks to call \S+, as no weights do") as raised:
        read_weights(file.getvalue())
    assert "\n" not in str(raised.value)
    assert not marker.exists()


def test_any_other_callable_is_not_called_either(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    file = io.BytesIO()
    torch.save({"weight": torch.ones(2), "hook": Payload(Path.touch, marker)}, file)
    assert list(read_weights(file.getvalue())) == ["weight"]
    assert not marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02.",
        b"\x80\x02a.",
        b"\x80\x02K\x01K\x02s.",
        b"\x80\x02]K\x01K\x02s.",
        b"\x80\x02K\x01R.",
        b"\x80\x02K\x01)R.",
        b"\x80\x02h\x05.",
        b"\x80\x02u.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02\x85.",
        b"\x80\x02\x82\x01.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x00.",
        b"\x80\x02X\xff\xff\xff\x7fabc",
        b"\x80\x02]q\x00",
        b"",
    ],
)
def test_damaged_pickle_is_one_error(data: bytes) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - each says something else
        value_of(data)
    assert "\n" not in str(raised.value)


def test_every_cut_of_a_checkpoint_is_an_error() -> None:
    file = io.BytesIO()
    torch.save({"a.weight": torch.ones(4, 3), "n": 1}, file, _use_new_zipfile_serialization=False)
    whole = file.getvalue()
    for length in range(2, len(whole)):
        with pytest.raises(ValueError):  # noqa: PT011 - each says something else
            read_weights(whole[:length])


def test_memo_of_a_billion_entries_takes_no_memory() -> None:
    assert value_of(b"\x80\x02K\x01r\xff\xff\xff\x7f.") == 1


def test_tuples_nested_into_a_key_are_not_hashed() -> None:
    """Sixty tuples that hold the one before twice have 2**60 leaves."""
    nest = b")" + b"2\x86" * 60
    assert value_of(b"\x80\x02}" + nest + b"K\x01s.") == {}


def test_lists_nested_into_each_other_end() -> None:
    nest = b"]" + b"q\x00]h\x00ah\x00a" * 60
    with pytest.raises(ValueError, match="nested too deeply"):
        read_weights(_torch_zip(b"\x80\x02" + nest + b"."))


def test_ordered_dictionary_of_something_else_is_empty() -> None:
    with pytest.raises(ValueError, match="it holds no tensors"):
        read_weights(_torch_zip(b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R."))


def test_list_that_holds_itself_ends() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        read_weights(_torch_zip(b"\x80\x02]q\x00h\x00a."))


def _torch_zip(pickled: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    return file.getvalue()
