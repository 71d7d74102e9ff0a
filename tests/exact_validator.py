"""Python's jsonschema with multipleOf as the standard means it: of the numbers that are written, not of doubles, by which 0.3 is no multiple
of 0.1 and 19.99 none of 0.01."""
import fractions
import math

import jsonschema


def _multiple_of(validator, factor, instance, schema):
    if not validator.is_type(instance, "number"):
        return
    # 1e999 is infinite here, so that it is nobody's multiple.
    if math.isinf(instance) or (fractions.Fraction(repr(instance)) / fractions.Fraction(repr(factor))).denominator != 1:
        yield jsonschema.ValidationError(f"{instance!r} is not a multiple of {factor}")


def exact_validator(schema):
    """Of the draft that the schema names, else the last."""
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    return jsonschema.validators.extend(kind, {"multipleOf": _multiple_of})(schema)
