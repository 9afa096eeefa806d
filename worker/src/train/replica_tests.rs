//! What a replica keeps beside its newest state, and what it says of a reduce.

use super::*;

const PARAMETERS: usize = 6;

fn rule(step: Step) -> StepRule {
    StepRule {
        step,
        micro_batches: 1,
        loss_units: 3,
        learning_rate: 0.01,
        max_grad_norm: 1.0,
        weight_decay: 0.0,
    }
}

/// A replica at step 0.
fn replica() -> Replica {
    let mut replica = Replica::new(PARAMETERS);
    replica.adopt(AdapterState::new(vec![0.5; PARAMETERS]));
    replica
}

fn total(step: Step) -> Vec<i64> {
    let gradient = (0..PARAMETERS as i64).map(|i| (i + 1) << (30 + step.0 % 8));
    let mut total: Vec<i64> = gradient.collect();
    let mut extras = [0; EXTRAS];
    extras[Extra::LossUnits as usize] = 3;
    extras[Extra::MicroBatches as usize] = 1;
    total.extend(extras);
    total
}

/// The next step, as the state thread does it; returns its digest.
fn step(replica: &mut Replica) -> String {
    let step = replica.state().step.next();
    let applied = replica.apply(&rule(step), total(step), 2).unwrap();
    let (_, old) = replica.commit(step).unwrap();
    replica.reuse(old);
    applied.state_digest
}

#[test]
fn a_state_that_is_to_be_kept_outlives_later_steps_bit_for_bit() {
    let mut replica = replica();
    step(&mut replica);
    let best = step(&mut replica);
    replica.retain(&[Step(2)]);
    assert_eq!(replica.retained().len(), 0, "it is the newest");
    for _ in 0..5 {
        step(&mut replica);
    }
    assert_eq!(
        replica.retained(),
        BTreeMap::from([(Step(2), best.clone())])
    );
    let kept = replica.frozen(Step(2)).unwrap();
    assert_eq!(numerics::state_digest(&kept), best);
    assert!(replica.frozen(Step(3)).is_none(), "nobody asked for it");
    assert_eq!(replica.frozen(Step(7)).as_ref(), Some(replica.state()));
}

#[test]
fn what_is_frozen_is_never_the_memory_of_a_later_step() {
    let mut replica = replica();
    let digest = step(&mut replica);
    let frozen = replica.frozen(Step(1)).unwrap();
    for _ in 0..4 {
        step(&mut replica);
    }
    assert_eq!(numerics::state_digest(&frozen), digest);
}

#[test]
fn only_what_is_wanted_now_stays() {
    let mut replica = replica();
    replica.retain(&[Step(1), Step(2)]);
    for _ in 0..4 {
        step(&mut replica);
    }
    assert_eq!(
        Vec::from_iter(replica.retained().into_keys()),
        [Step(1), Step(2)]
    );
    replica.retain(&[Step(2), Step(9)]);
    assert_eq!(Vec::from_iter(replica.retained().into_keys()), [Step(2)]);
    replica.retain(&[]);
    assert!(replica.retained().is_empty() && replica.frozen(Step(2)).is_none());
    // What is not wanted leaves its memory to later steps as before.
    let digest = step(&mut replica);
    assert_eq!(replica.prove(), (Step(5), digest));
}

#[test]
fn the_last_copy_of_the_best_state_survives_going_back() {
    let mut replica = replica();
    step(&mut replica);
    let first = AdapterState::clone(replica.state());
    let best = step(&mut replica);
    replica.retain(&[Step(2)]);
    replica.adopt(first);
    assert_eq!(
        replica.retained(),
        BTreeMap::from([(Step(2), best.clone())])
    );
    // The same history again: the newest of that step is what is handed out.
    assert_eq!(step(&mut replica), best);
    assert_eq!(replica.frozen(Step(2)).as_ref(), Some(replica.state()));
}

#[test]
fn a_report_carries_one_fingerprint_and_slices_only_when_asked() {
    let mut replica = replica();
    let mine = total(Step(1));
    replica.keep(Step(1), Task::Train, MicroBatchId(0), mine.clone());
    replica.credit(Task::Train, &[MicroBatchId(0)]).unwrap();
    let _ = replica.sum(Task::Train, 3);
    let whole = numerics::fingerprint(&mine, 0).0;
    let applied = replica.apply(&rule(Step(1)), mine, 3).unwrap();
    assert_eq!(
        (applied.contributed_fingerprint, applied.total_fingerprint),
        (whole, whole)
    );
    let SliceFingerprints { sent, received } = replica.explain();
    assert_eq!((sent.len(), &sent), (3, &received));
    let parts: Fingerprint = sent.into_iter().map(Fingerprint).sum();
    assert_eq!(parts.0, whole);
}

#[test]
fn a_total_that_leads_nowhere_leaves_the_one_before_to_be_committed() {
    let mut replica = replica();
    let (next, good) = (Step(1), total(Step(1)));
    replica.apply(&rule(next), good.clone(), 2).unwrap();
    let mut damaged = good.clone();
    damaged[PARAMETERS + Extra::MicroBatches as usize] ^= 2;
    let error = replica.apply(&rule(next), damaged, 2).unwrap_err();
    assert_eq!(error.code, Code::Internal);
    // Whoever follows this worker is sent the total of what it committed.
    let (sent, _) = replica.commit(next).unwrap();
    assert_eq!(*sent, good);
}
