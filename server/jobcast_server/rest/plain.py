"""Protobuf messages as JSON values in the form that the protocol's clients read: field names as they are, numbers as
numbers (protobuf's own JSON writes 64-bit integers as texts), and fields that have their default value not left out."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor


def plain(message: Any) -> dict[str, Any]:
    """The message; sub-messages that are not set, and members of a oneof that are not chosen, are absent."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            nested = field.message_type.fields_by_name["value"].message_type is not None
            found[field.name] = {key: plain(item) if nested else item for key, item in value.items()}
        elif field.is_repeated:
            found[field.name] = [_value(field, item) for item in value]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = _value(field, value)
    return found


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    return field.enum_type.values_by_number[value].name if field.enum_type is not None else value
