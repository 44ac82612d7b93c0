//! JSON Schema of the types whose JSON is not their fields.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{CpuSet, FeatureSet, Hundredths, Timestamp};

/// The types' own serde code decides; this has to say the same.
macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(CpuSet, "CpuSet", {
    "description": "CPUs, as the kernel lists them: \"0-3,8\"; none is \"\".",
    "type": "string",
    "pattern": "^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$"
});

schema!(FeatureSet, "FeatureSet", {
    "description": "Names of CPU features, sorted.",
    "type": "array",
    "items": { "type": "string", "minLength": 1 },
    "uniqueItems": true
});

schema!(Timestamp, "Timestamp", {
    "description": "RFC 3339, UTC, to the millisecond.",
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{3})?Z$"
});

schema!(Hundredths, "Hundredths", {
    "description": "A figure that the kernel prints with two decimals.",
    "type": "number",
    "minimum": 0
});
