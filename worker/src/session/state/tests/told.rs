//! What the coordinator tells of members, of states to keep and of a reduce gone wrong.

use shared::wire::message::SliceFingerprints;

use super::*;

fn change(since: u64, left: &[&str], members: Vec<Member>) -> ToWorker {
    ToWorker::Members(MemberChange {
        since: Some(Generation(since)),
        left: left.iter().map(|name| WorkerId((*name).into())).collect(),
        members,
    })
}

fn connected(actions: &[Action]) -> (Vec<Member>, Slot) {
    match actions {
        [Action::Connect { members, slot, .. }] => (members.clone(), *slot),
        _ => panic!("{actions:?}"),
    }
}

#[test]
fn who_stays_moves_up_and_who_came_stands_behind() {
    let mut session = working();
    let three = vec![member("w0", 0), member("w1", 1), member("w2", 2)];
    session.on(told(at(1, 2, 1), all(three)), SOON);
    let came = vec![member("w3", 2)];
    let actions = session.on(told(at(1, 3, 1), change(2, &["w0"], came)), SOON);
    let expected = vec![member("w1", 0), member("w2", 1), member("w3", 2)];
    assert_eq!(connected(&actions), (expected, Slot(0)));
    let actions = session.on(told(at(1, 5, 1), change(3, &["w2"], Vec::new())), SOON);
    let expected = vec![member("w1", 0), member("w3", 1)];
    assert_eq!(connected(&actions), (expected, Slot(0)));
}

#[test]
fn a_change_of_another_list_than_the_one_held_ends_the_session() {
    for change in [
        change(7, &[], Vec::new()),
        // Fits the generation, and not the slots.
        change(1, &["w2"], vec![member("w3", 2)]),
    ] {
        let mut session = working();
        let actions = session.on(told(at(1, 8, 1), change), SOON);
        assert_eq!(failure(&actions).code, Code::Internal);
        assert!(matches!(said(&actions)[..], [FromWorker::Failed(_)]));
    }
}

#[test]
fn a_new_session_begins_with_the_whole_list() {
    let mut session = working();
    lost(&mut session, SOON);
    session.on(Input::Connected, SOON);
    session.on(told(at(1, 1, 1), welcome(true)), SOON);
    let actions = session.on(told(at(1, 2, 1), change(1, &[], Vec::new())), SOON);
    assert_eq!(failure(&actions).code, Code::Internal);
}

#[test]
fn a_worker_that_left_by_a_change_ends() {
    let mut session = working();
    let actions = session.on(told(at(1, 2, 1), change(1, &["w1"], Vec::new())), SOON);
    assert_eq!(failure(&actions).code, Code::Evicted);
}

#[test]
fn states_to_keep_are_kept_and_told_of_when_the_session_comes_back() {
    let mut session = working();
    let retain = ToWorker::Retain(vec![Step(50), Step(60)]);
    let actions = session.on(told(at(1, 1, 1), retain), SOON);
    assert_eq!(actions, [Action::Retain(vec![Step(50), Step(60)])]);
    let kept = BTreeMap::from([(Step(50), "d50".to_owned())]);
    session.on(Input::Retained(kept.clone()), SOON);
    lost(&mut session, SOON);
    let actions = session.on(Input::Connected, SOON);
    assert_eq!(resumed(&actions).retained, kept);
    session.on(Input::Retained(BTreeMap::new()), SOON);
    lost(&mut session, SOON);
    let actions = session.on(Input::Connected, SOON);
    assert!(resumed(&actions).retained.is_empty());
}

#[test]
fn states_to_keep_that_are_named_before_loading_are_kept_after_it() {
    let mut session = Session::new(Hello::default());
    session.on(Input::Connected, SOON);
    session.on(told(at(1, 0, 1), welcome(false)), SOON);
    let retain = ToWorker::Retain(vec![Step(5)]);
    assert!(session.on(told(at(1, 0, 1), retain), SOON).is_empty());
    let actions = session.on(Input::Loaded(Loaded::default()), SOON);
    assert_eq!(actions[0], Action::Retain(vec![Step(5)]));
}

#[test]
fn only_the_newest_reduce_is_explained() {
    let mut session = working();
    let reduce = ToWorker::Reduce {
        task: Task::Train,
        fingerprint: 0,
    };
    session.on(told(at(1, 1, 1), reduce), SOON);
    let older = session.on(told(at(1, 1, 0), ToWorker::Explain), SOON);
    assert!(older.is_empty());
    let actions = session.on(told(at(1, 1, 1), ToWorker::Explain), SOON);
    assert_eq!(actions, [Action::Explain(at(1, 1, 1))]);
    let slices = SliceFingerprints {
        sent: vec![1, 2],
        received: vec![3, 4],
    };
    let of = |identity| Input::Slices {
        identity,
        slices: slices.clone(),
    };
    assert!(session.on(of(at(1, 1, 0)), SOON).is_empty());
    let actions = session.on(of(at(1, 1, 1)), SOON);
    assert_eq!(said(&actions), [&FromWorker::Slices(slices.clone())]);
}

#[test]
fn a_reduce_ends_when_the_state_is_taken_anew_or_a_session_begins() {
    let abandons = |actions: &[Action]| actions.contains(&Action::Abandon);
    let mut session = working();
    let sync = Sync {
        step: Step(0),
        source: SyncSource::Initial,
        state_digest: String::new(),
    };
    assert!(abandons(
        &session.on(told(at(1, 1, 1), ToWorker::Sync(sync)), SOON)
    ));
    let mut session = working();
    lost(&mut session, SOON);
    session.on(Input::Connected, SOON * 2);
    assert!(abandons(
        &session.on(told(at(2, 1, 1), welcome(true)), SOON * 2)
    ));
}
