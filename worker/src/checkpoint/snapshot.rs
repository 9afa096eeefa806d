//! The committed state as one message for a worker that joins.
//!
//! In: a state. Out: bytes whose decoding is that state, counters included; the joiner proves it by
//! the digest. Flat vectors without names: both sides have the layout from the same base model.

use bytes::Bytes;
use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::numerics::AdapterState;
use shared::tensors::{Reader, Writer};

use super::scale;

/// The bytes for a joiner.
///
/// # Errors
/// [`Code::NotFinite`] when the state holds what no state may hold.
pub fn encode_snapshot(state: &AdapterState) -> Result<Bytes> {
    let encoded = (|| {
        let mut writer = Writer::default();
        for (key, values) in [("params", &state.params), ("m", &state.m), ("v", &state.v)] {
            writer.floats(key.to_owned(), &[values.len()], values)?;
        }
        writer.counter("step", state.step.0)?;
        writer.counter("optimizer_steps", state.optimizer_steps)?;
        scale::write(&mut writer, state.loss_scale)?;
        writer.bytes()
    })();
    encoded.map(Bytes::from).map_err(|why: String| {
        Error::new(Code::NotFinite, "the committed state cannot be handed on").why(why)
    })
}

/// The state in the bytes of a peer.
///
/// # Errors
/// [`Code::DigestDiffers`] when they are not a whole, finite state.
pub fn decode_snapshot(bytes: &[u8]) -> Result<AdapterState> {
    let decoded = (|| {
        let mut reader = Reader::new(bytes)?;
        let state = AdapterState {
            params: reader.vector("params")?,
            m: reader.vector("m")?,
            v: reader.vector("v")?,
            step: Step(reader.counter("step")?),
            optimizer_steps: reader.counter("optimizer_steps")?,
            loss_scale: scale::read(&mut reader)?,
        };
        reader.finish()?;
        let lengths = [state.params.len(), state.m.len(), state.v.len()];
        if lengths.iter().any(|length| *length != state.params.len()) {
            return Err(format!("parameters and moments have {lengths:?} elements"));
        }
        Ok(state)
    })();
    decoded.map_err(|why: String| {
        Error::new(Code::DigestDiffers, "the state from a peer cannot be used")
            .why(why)
            .fix("nothing: another peer or a checkpoint is tried")
    })
}
