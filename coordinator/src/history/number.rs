//! Numbers that may not be finite, as JSON: such a number is written as null and read as NaN.

use serde::{Deserialize, Deserializer, Serializer};

/// Writes a number that is not finite as null.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        to.serialize_f64(*value)
    } else {
        to.serialize_none()
    }
}

/// Reads null as NaN.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

/// The same for an optional number; `skip_serializing_if` leaves `None` out.
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
