//! The line breaks, is silent, and comes back.

use super::*;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn pause(actions: &[Action]) -> Duration {
    match actions {
        [Action::Open { after }] => *after,
        _ => panic!("{actions:?}"),
    }
}

fn tick(session: &mut Session, moved: u64, now: Duration) -> Vec<Action> {
    let progress = Progress {
        moved,
        ..Progress::default()
    };
    session.on(Input::Tick(progress), now)
}

fn beat() -> Input {
    told(at(1, 1, 1), ToWorker::Beat)
}

#[test]
fn a_coordinator_that_stays_away_is_given_up_in_the_end() {
    let mut session = working();
    lost(&mut session, SOON);
    assert_eq!(lost(&mut session, secs(59)), [SOONEST]);
    let actions = lost(&mut session, secs(62));
    assert_eq!(failure(&actions).code, Code::SessionLost);
}

#[test]
fn a_silent_coordinator_is_left_and_a_quiet_worker_says_that_it_lives() {
    let mut session = working();
    let actions = tick(&mut session, 0, secs(2));
    assert_eq!(said(&actions), [&FromWorker::Beat(Progress::default())]);
    let actions = tick(&mut session, 0, secs(9));
    assert_eq!(actions, [SOONEST]);
}

#[test]
fn sessions_that_do_not_last_come_at_longer_and_longer_intervals() {
    let mut session = Session::new(Hello::default());
    let mut now = Duration::ZERO;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        session.on(Input::Connected, now);
        session.on(told(at(1, 1, 1), welcome(false)), now);
        let after = pause(&lost(&mut session, now));
        pauses.push(after.as_millis());
        now += after;
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    // A try that never became a session changes nothing.
    assert_eq!(pause(&lost(&mut session, now)).as_millis(), 5000);
    session.on(Input::Connected, now);
    session.on(told(at(1, 1, 1), welcome(false)), now);
    for _ in 0..9 {
        now += SOON;
        session.on(beat(), now);
    }
    assert_eq!(pause(&lost(&mut session, now)).as_millis(), 100);
}

#[test]
fn welcomes_that_nothing_follows_do_not_keep_a_worker_for_ever() {
    let mut session = working();
    let mut now = SOON;
    let mut actions = lost(&mut session, now);
    let mut sessions = 0;
    while let [Action::Open { after }] = actions[..] {
        now += after;
        session.on(Input::Connected, now);
        session.on(told(at(1, 1, 1), welcome(true)), now);
        session.on(beat(), now);
        actions = lost(&mut session, now);
        sessions += 1;
    }
    assert_eq!(failure(&actions).code, Code::SessionLost);
    assert!((secs(60)..secs(70)).contains(&now), "{now:?}");
    assert!(sessions < 30, "{sessions} sessions in {now:?}");
}

#[test]
fn a_first_welcome_that_cannot_be_read_is_told_and_not_asked_for_again_for_ever() {
    let mut session = Session::new(Hello::default());
    let mut now = Duration::ZERO;
    let unreadable = || Input::Lost("decoded message length too large".into());
    session.on(Input::Connected, now);
    let mut actions = session.on(unreadable(), now);
    while let [Action::Open { after }] = actions[..] {
        now += after;
        session.on(Input::Connected, now);
        actions = session.on(unreadable(), now);
    }
    let error = failure(&actions);
    assert_eq!(error.code, Code::Unreachable);
    assert!(error.why.concat().contains("too large"), "{error}");
    assert!(now < secs(10), "{now:?}");
}

#[test]
fn a_session_that_lasts_without_any_order_is_of_use() {
    let mut session = working();
    for second in 1..=500 {
        session.on(beat(), secs(second));
    }
    // A worker that waits for its turn for minutes holds on like any other.
    assert_eq!(lost(&mut session, secs(500)), [SOONEST]);
    assert_eq!(lost(&mut session, secs(559)), [SOONEST]);
    let actions = lost(&mut session, secs(561));
    assert_eq!(failure(&actions).code, Code::SessionLost);
}

#[test]
fn silence_as_long_as_the_ride_through_is_followed_by_one_try_at_least() {
    let mut session = working();
    let short = ToWorker::Welcome(Welcome {
        worker_id: "w1".into(),
        lease_ms: 8000,
        ride_through_ms: 8000,
        ..Welcome::default()
    });
    session.on(told(at(1, 1, 1), short), SOON);
    session.on(told(at(1, 1, 1), all(vec![member("w1", 0)])), SOON);
    assert_eq!(tick(&mut session, 0, secs(10)), [SOONEST]);
    let actions = lost(&mut session, secs(11));
    assert_eq!(failure(&actions).code, Code::SessionLost);
}

#[test]
fn what_moves_is_told_every_beat_however_much_else_is_said() {
    let mut session = working();
    session.on(assign(1, &[0, 1, 2, 3, 4]), Duration::ZERO);
    let mut beats = Vec::new();
    for tenth in 1..=50_u32 {
        let now = Duration::from_millis(100) * tenth;
        if tenth % 9 == 0 {
            session.on(computed(1, tenth / 9 - 1), now);
        }
        let actions = tick(&mut session, u64::from(tenth), now);
        for message in said(&actions) {
            let FromWorker::Beat(progress) = message else {
                panic!("{message:?}")
            };
            beats.push((tenth, progress.moved));
        }
    }
    let every_second = [(10, 10), (20, 20), (30, 30), (40, 40), (50, 50)];
    assert_eq!(beats, every_second);
}

#[test]
fn a_worker_that_talks_and_moves_nothing_needs_no_sign_of_life() {
    let mut session = working();
    session.on(assign(1, &[0, 1]), Duration::ZERO);
    session.on(computed(1, 0), Duration::from_millis(900));
    assert!(said(&tick(&mut session, 0, Duration::from_millis(1800))).is_empty());
}
