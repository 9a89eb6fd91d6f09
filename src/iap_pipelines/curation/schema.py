"""Records to Arrow and back."""

import types
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from iap_pipelines.curation.records import Record


_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@dataclass(frozen=True)
class ColumnField:
    """A field of a record with its annotation resolved."""

    name: str
    type: Any
    metadata: Any


@cache
def column_fields(record: type[Record]) -> tuple[ColumnField, ...]:
    hints = get_type_hints(record, include_extras=True)
    return tuple(ColumnField(item.name, hints[item.name], item.metadata) for item in fields(record))


def arrow_type(annotation: Any) -> pa.DataType:
    """The Arrow type of a field's annotation.

    >>> arrow_type(tuple[str, ...])
    ListType(list<item: string>)
    """
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return arrow_struct(annotation)
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[1]
    if get_origin(annotation) in (Union, types.UnionType):
        (inner,) = (kind for kind in get_args(annotation) if kind is not type(None))
        return arrow_type(inner)
    if get_origin(annotation) is tuple:
        return pa.list_(arrow_type(get_args(annotation)[0]))
    raise TypeError(f"{annotation!r} has no Arrow type")


@cache
def arrow_struct(record: type[Record]) -> pa.DataType:
    return pa.struct([(item.name, arrow_type(item.type)) for item in column_fields(record)])
