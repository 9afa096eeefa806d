//! Numbers that may not be finite, in JSON: null there and back.

use serde::{Deserialize, Deserializer, Serializer};

/// Writes null for what is not finite.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        to.serialize_f64(*value)
    } else {
        to.serialize_none()
    }
}

/// Reads null as not a number.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

/// The same where there may be no number at all: what is none is left out by `skip_serializing_if`.
pub(super) mod optional {
    use serde::{Deserializer, Serializer};

    #[allow(clippy::ref_option)]
    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<f64>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        super::serialize(&value.unwrap_or(f64::NAN), to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<f64>, D::Error> {
        super::deserialize(from).map(Some)
    }
}
