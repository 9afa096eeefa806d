//! One training step on one page: who does what, in order, with shapes.
//!
//! Three parties take part. The device thread owns every tensor. The state thread owns the replica: the committed
//! state, the sums and the shadow. The session is an async loop, `Running::work` in `session/run.rs`: it hears the
//! coordinator, asks the pure `Session` of `session/state` what follows, and gives jobs to both threads;
//! `session/outcomes.rs` takes what comes back. P counts the positions of one micro-batch, Q those that predict, H
//! hidden elements, V words, N elements of the adapter.
//!
//! 1. Assign. The coordinator says `Assign` with micro-batches of step s. `Session::assign` in `session/state/mod.rs`
//!    holds them back until step s - 1 is committed here, so that all of them are computed on its state.
//!    `Running::carry_out` in `session/run.rs` hands them to the device thread, where `DeviceThread::compute` in
//!    `device_thread.rs` loads the committed parameters `[N]` into the adapter's tensors (`Trainer::set_adapter`), once
//!    for each state. A micro-batch that was withdrawn meanwhile is answered with `Skipped`.
//!
//! 2. Collate. `OnDevice::compute` in `device_thread.rs` asks the plan which rows belong to the micro-batch; `collate`
//!    in `collate.rs` writes their tokens and labels `[P]`, padded or packed. `DeviceObjective::places` in `objective.rs`
//!    names the Q positions that have a loss.
//!
//! 3. Forward. `Trainer::compute` in `forward_backward.rs` embeds the tokens `[P, H]`; `Layers::forward` in
//!    `layerwise.rs` goes through the decoder (`Decoder::layer` in `model/decoder.rs`) one layer at a time, each with
//!    an autograd graph of its own, or with none where activations are computed again. Dropout masks are drawn per
//!    adapted linear by `DropoutKeys::mask` in `dropout.rs`.
//!
//! 4. Loss. The objective (`objective.rs`) computes a loss for each of its units, and the gradient of the hidden states
//!    `[Q, H]`. For next-token prediction (`next_token.rs`) these are the cross entropies of logits `[C, V]`, some of
//!    the Q positions at a time. The seed of that gradient is `loss_scale / step_loss_units`, the share of one unit in
//!    the step's mean loss: gradients of micro-batches only have to be added.
//!
//! 5. Backward. `Layers::backward` in `layerwise.rs` goes from the last layer to the first that learns, and frees each
//!    graph behind it. `Gradients` in `gradients.rs` brings what it finds into one flat f32 vector `[N]` on the host,
//!    in canonical order; `numerics::unscale` takes the loss scale off.
//!
//! 6. Quantize. `as_integers` in `device_thread.rs` makes integers of it: `numerics::quantize_into` the gradient at
//!    2^44, `numerics::quantize_losses` the loss at 2^40, and three counters behind it (`Extra` in `sums.rs`), `[N +
//!    4]` in all. From here on nothing depends on order or grouping. `numerics::fingerprint` makes the check sum that
//!    adds like the integers.
//!
//! 7. Keep. `Running::computed` in `session/outcomes.rs` moves the integers to the state thread, where `Replica::keep`
//!    in `replica.rs` lays them aside (`Sums::keep` in `sums.rs`), and `Session::computed` tells the coordinator the
//!    fingerprint (`Computed`).
//!
//! 8. Credit. The coordinator says `Credit` for each micro-batch to exactly one worker. `Session::credit` in
//!    `session/state/coordinator.rs` checks that it is kept here; `Replica::credit` moves its integers into the sum
//!    (`Sums::credit`): the first one becomes the sum, the others are added.
//!
//! 9. Sum. When all of the step is credited the coordinator says `Reduce`. `Replica::sum` hands out this worker's sum,
//!    zeros where nothing was credited to it, and remembers its fingerprints by slice.
//!
//! 10. Reduce. `Running::stated` in `session/outcomes.rs` gives the sum to `Reducer::reduce` in `session/reducer.rs`;
//!     `GrpcCollective::all_reduce` in `collective/grpc.rs` brings the total `[N + 4]` of all members to each of them.
//!     A lone worker's sum is the total. `Running::reduced` passes the total to the state thread.
//!
//! 11. Clip and AdamW. `StateThread::apply` in `state_thread.rs` finds the step's rule in the plan (`rule`); `Replica::apply`
//!     first proves that the committed parameters have not changed in memory, then `Replica::apply_to_shadow` checks that the
//!     total covers the step, and `numerics::grad_norm` and `numerics::apply` write the next state into the shadow. A
//!     step with an overflow changes nothing but the step's number and the loss scale (`AdapterState::skip`).
//!
//! 12. Digest. `StateDigests::of` hashes the shadow; `Session::take` in `session/state/mod.rs` tells the coordinator
//!     (`Applied`: digest, loss, norm, fingerprints).
//!
//! 13. Commit. When the digests of all members agree the coordinator says `Commit`. `Session::commit` in
//!     `session/state/coordinator.rs` compares the digest once more; `Replica::commit` makes the shadow the state, and
//!     `StateThread::commit` in `state_thread.rs` publishes it for the device thread, gives the total to whoever follows this
//!     worker, and reuses the old state's memory. `Session::settle` then begins what was assigned for step s + 1.
