//! Records to lines and back; what was altered is found.

use proptest::prelude::*;

use super::*;
use crate::error::Code;

#[test]
fn a_line_reads_as_one_would_write_it_by_hand() {
    let plan = plan_with("max_steps: 1\nshuffle: false\n");
    let mut records = run_to(&plan, 1, 1);
    change(&mut records, 1, |commit| commit.micro_batches.truncate(2));
    let text: Vec<u8> = lines(&records).concat();
    insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r#"
    {"kind":"run","format":1,"version":"1.2.3","run_id":"1234","run_identity":"identity","identity":{"seed":"42"},"total_steps":1,"begins_after":0,"previous":"0000000000000000000000000000000000000000000000000000000000000000","hash":"949d4bfb9423761f9d20ac2198479f56d97a76d1029948d320c8a3b9d5d2dc75"}
    {"kind":"term","term":1,"address":"127.0.0.1:7400","previous":"949d4bfb9423761f9d20ac2198479f56d97a76d1029948d320c8a3b9d5d2dc75","hash":"b432c44025509b1f4c684389e6fc00f7aaa02fce7be3a3aa55cda2dba8144bc7"}
    {"kind":"members","generation":1,"workers":["worker-0"],"previous":"b432c44025509b1f4c684389e6fc00f7aaa02fce7be3a3aa55cda2dba8144bc7","hash":"87fd9e88a9019977d2d253e718077adb5ddf732d212e61ced1c5184d167fea47"}
    {"kind":"commit","step":1,"term":1,"generation":1,"epoch":0,"micro_batches":[{"micro_batch":0,"worker":"worker-0","fingerprint":"ffffffffffffffff","samples":[0,1]},{"micro_batch":1,"worker":"worker-0","fingerprint":"fffffffffffffffe","samples":[2,3]}],"loss_units":21,"loss":"-9223372036854775801","grad_norm_bits":"3ff8000000000000","skipped":false,"state_digest":"state-1","previous":"87fd9e88a9019977d2d253e718077adb5ddf732d212e61ced1c5184d167fea47","hash":"577a5f91c4eabe0011c6be25c1a5f6e4c7f33d1acd9ea8e3426b3d91f336e129"}
    "#);
}

#[test]
fn every_kind_of_record_is_read_as_it_was_written() {
    let plan = plan();
    let mut records = run_to(&plan, 2, 2);
    if let Record::Run(run) = &mut records[0] {
        run.parent = Some(Parent::default());
    }
    records.push(Record::Checkpoint(Checkpoint {
        step: Step(1),
        folder: "checkpoint-1".into(),
        state_digest: "state-1".into(),
        ..Checkpoint::default()
    }));
    records.push(Record::Checkpoint(Checkpoint::set_aside(
        Step(1),
        "checkpoint-1.damaged".into(),
        "state-1".into(),
        "torn",
    )));
    records.push(Record::Evicted(Evicted {
        worker: WorkerId("worker-1".into()),
        reason: "silent, \"for\" 10 s\n用户".into(),
    }));
    records.push(Record::Rewind(Rewind {
        step: Step(1),
        state_digest: Some("state-1".into()),
        reason: "nobody held the state".into(),
        forked: Vec::new(),
    }));
    let mut book = Book::default();
    for (record, line) in records.iter().zip(lines(&records)) {
        assert!(!line[..line.len() - 1].contains(&b'\n'), "one line");
        assert_eq!(book.read(&line[..line.len() - 1]).unwrap(), *record);
    }
}

#[test]
fn a_line_taken_out_put_in_or_moved_is_found_where_it_happened() {
    let plan = plan();
    let whole = lines(&run_to(&plan, 6, 2));
    let mut without = whole.clone();
    without.remove(4);
    let mut twice = whole.clone();
    twice.insert(4, whole[4].clone());
    let mut moved = whole.clone();
    moved.swap(5, 6);
    for (altered, line) in [(without, 5), (twice, 6), (moved, 6)] {
        let (found, error) = read(&altered).unwrap_err();
        assert_eq!((found, error.code), (line, Code::LedgerBroken), "{error:?}");
    }
}

#[test]
fn an_unknown_kind_or_field_or_form_is_of_a_newer_version() {
    let plan = plan();
    let seal = |body: &str| {
        let hash = blake3::hash(format!("{GENESIS}{body}").as_bytes()).to_hex();
        let fields = body.strip_suffix('}').unwrap();
        format!("{fields},\"previous\":\"{GENESIS}\",\"hash\":\"{hash}\"}}")
    };
    let run = serde_json::to_string(&Record::Run(run_of(&plan))).unwrap();
    assert!(Chain::default().follow(seal(&run).as_bytes()).is_ok());
    for body in [
        r#"{"kind":"dream","step":1}"#.to_owned(),
        run.replace("\"version\"", "\"color\":\"red\",\"version\""),
        run.replace("\"format\":1", "\"format\":3"),
    ] {
        let error = Chain::default().follow(seal(&body).as_bytes()).unwrap_err();
        assert_eq!(error.code, Code::LedgerUnknown, "{body}");
    }
}

/// A line as versions before `loss_units` wrote it, with the hash that they gave it.
#[test]
fn the_target_tokens_of_an_earlier_version_are_loss_units() {
    let plan = plan_with("max_steps: 1\nshuffle: false\n");
    let mut records = run_to(&plan, 1, 1);
    change(&mut records, 1, |commit| commit.micro_batches.truncate(2));
    let mut chain = Chain::default();
    for line in &lines(&records)[..3] {
        chain.follow(&line[..line.len() - 1]).unwrap();
    }
    let earlier = r#"{"kind":"commit","step":1,"term":1,"generation":1,"epoch":0,"micro_batches":[{"micro_batch":0,"worker":"worker-0","fingerprint":"ffffffffffffffff","samples":[0,1]},{"micro_batch":1,"worker":"worker-0","fingerprint":"fffffffffffffffe","samples":[2,3]}],"target_tokens":21,"loss":"-9223372036854775801","grad_norm_bits":"3ff8000000000000","skipped":false,"state_digest":"state-1","previous":"87fd9e88a9019977d2d253e718077adb5ddf732d212e61ced1c5184d167fea47","hash":"01f09e1d38dbd1f66ab87a0fe7bd5ba2d30b0dfaa458135827d3a880c7e31be7"}"#;
    assert_eq!(chain.follow(earlier.as_bytes()).unwrap(), records[3]);
}

#[test]
fn a_beginning_of_a_line_is_torn_and_an_altered_line_is_not() {
    let line = &lines(&run_to(&plan(), 1, 1))[3];
    let line = line.strip_suffix(b"\n").unwrap();
    assert!(is_torn(&line[..line.len() - 1]) && is_torn(b"{") && is_torn(&[0, 0, 0]));
    let altered = [line, line].join(&b' ');
    assert!(!is_torn(line) && !is_torn(&altered) && !is_torn(b"nonsense"));
}

proptest! {
    #[test]
    fn any_other_byte_anywhere_is_found(
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        workers in 1usize..4,
    ) {
        let mut bytes = lines(&run_to(&plan(), 4, workers)).concat();
        let at = at.index(bytes.len() - 1);
        bytes[at] ^= flip;
        let text = bytes.strip_suffix(b"\n").unwrap();
        let mut book = Book::default();
        let number = bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        let error = text
            .split(|&byte| byte == b'\n')
            .enumerate()
            .find_map(|(index, line)| Some((index, book.read(line).err()?)));
        let (line, error) = error.unwrap();
        prop_assert_eq!((line, error.code), (number, Code::LedgerBroken));
    }

    #[test]
    fn numbers_keep_every_bit(loss in any::<i64>(), norm in any::<u64>(), print in any::<u64>()) {
        let mut commit = commit(&plan(), 1, 1);
        (commit.loss, commit.grad_norm_bits) = (loss, norm);
        commit.micro_batches[0].fingerprint = print;
        let record = Record::Commit(commit);
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
