"""``config.pbtxt`` read as strictly as the server does: an unknown field or value is an error.

The table is the part of Triton's ModelConfig that we write; where the package tritonclient is
installed, a test compares it with the server's own definition.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

# Field to type; a star means repeated, a type with a capital is a message or an enumeration.
MESSAGES = {
    "ModelConfig": {
        "name": "string",
        "platform": "string",
        "backend": "string",
        "version_policy": "ModelVersionPolicy",
        "max_batch_size": "int32",
        "input": "ModelInput*",
        "output": "ModelOutput*",
        "optimization": "ModelOptimizationPolicy",
        "dynamic_batching": "ModelDynamicBatching",
        "instance_group": "ModelInstanceGroup*",
    },
    "ModelInput": {"name": "string", "data_type": "DataType", "dims": "int64*"},
    "ModelOutput": {"name": "string", "data_type": "DataType", "dims": "int64*"},
    "ModelVersionPolicy": {"latest": "ModelVersionPolicy.Latest"},
    "ModelVersionPolicy.Latest": {"num_versions": "uint32"},
    "ModelInstanceGroup": {"count": "int32", "kind": "ModelInstanceGroup.Kind"},
    "ModelDynamicBatching": {"max_queue_delay_microseconds": "uint64"},
    "ModelOptimizationPolicy": {
        "execution_accelerators": "ModelOptimizationPolicy.ExecutionAccelerators"
    },
    "ModelOptimizationPolicy.ExecutionAccelerators": {
        "gpu_execution_accelerator": "ModelOptimizationPolicy.ExecutionAccelerators.Accelerator*"
    },
    "ModelOptimizationPolicy.ExecutionAccelerators.Accelerator": {
        "name": "string",
        "parameters": (
            "ModelOptimizationPolicy.ExecutionAccelerators.Accelerator.ParametersEntry*"
        ),
    },
    "ModelOptimizationPolicy.ExecutionAccelerators.Accelerator.ParametersEntry": {
        "key": "string",
        "value": "string",
    },
}
ENUMS = {
    "DataType": {"TYPE_UINT8": 2, "TYPE_FP32": 11},
    "ModelInstanceGroup.Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2},
}


def read_config(path: Path) -> Any:
    """The message; text_format.ParseError names what the server would refuse."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_schema())
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("edge_sr.ModelConfig"))
    return text_format.Parse(path.read_text(), message())


def _schema() -> descriptor_pb2.FileDescriptorProto:
    schema = descriptor_pb2.FileDescriptorProto(
        name="triton_part.proto", package="edge_sr", syntax="proto3"
    )
    for name, values in ENUMS.items():
        enum = _owner(schema, name).enum_type.add(name=name.rpartition(".")[2])
        # The first value of an enumeration is 0.
        for value, number in sorted({"UNUSED": 0, **values}.items(), key=lambda item: item[1]):
            if value != "UNUSED" or 0 not in values.values():
                enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        message = _message(schema, name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            _add_field(message, field, number, kind)
    return schema


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    plain = kind.removesuffix("*")
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
    if plain in MESSAGES or plain in ENUMS:
        field.type = field.TYPE_MESSAGE if plain in MESSAGES else field.TYPE_ENUM
        field.type_name = f".edge_sr.{plain}"
    else:
        field.type = getattr(field, f"TYPE_{plain.upper()}")


def _owner(schema: Any, name: str) -> Any:
    outer = name.rpartition(".")[0]
    return _message(schema, outer) if outer else schema


def _message(schema: Any, name: str) -> Any:
    """The message of this dotted name, made where it is not there yet."""
    holder: Any = schema
    for part in name.split("."):
        kinds = holder.message_type if holder is schema else holder.nested_type
        holder = next((kind for kind in kinds if kind.name == part), None) or kinds.add(name=part)
    return holder
