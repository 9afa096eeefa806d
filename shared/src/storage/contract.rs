//! What every storage must keep, asked of each.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::{Folder, Group, Groups, MemoryObjects, Objects};

/// Asks both storages.
fn each(ask: impl Fn(&dyn Groups)) {
    let root = tempfile::tempdir().unwrap();
    ask(&Folder::new(root.path()));
    ask(&MemoryObjects::default());
}

fn names(found: &[&str]) -> Vec<String> {
    found.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn what_is_not_there_is_not_found_listed_or_missed() {
    each(|objects| {
        assert_eq!(objects.get("a").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(objects.open("a/b").is_err() && !objects.has("a"));
        assert_eq!(objects.list("").unwrap(), names(&[]));
        assert_eq!(objects.groups().unwrap(), names(&[]));
        objects.remove("a").unwrap();
        objects.delete("a").unwrap();
        assert_eq!(objects.withdraw("a").unwrap(), None);
        assert!(objects.publish("a", "b").is_err() && objects.rename("a", "b").is_err());
    });
}

#[test]
fn names_are_listed_in_order_by_how_they_begin_and_hidden_ones_only_when_asked_for() {
    each(|objects| {
        for name in [
            "b",
            "a/2",
            "a/1",
            "a-b/1",
            ".hidden",
            ".staging/a/1",
            "a/.x",
        ] {
            objects.put(name, b"1").unwrap();
        }
        assert_eq!(
            objects.list("").unwrap(),
            names(&["a-b/1", "a/1", "a/2", "b"])
        );
        assert_eq!(objects.list("a").unwrap(), names(&["a-b/1", "a/1", "a/2"]));
        assert_eq!(objects.list("a/").unwrap(), names(&["a/1", "a/2"]));
        assert_eq!(objects.list(".staging/").unwrap(), names(&[".staging/a/1"]));
        assert_eq!(objects.groups().unwrap(), names(&["a", "a-b"]));
        let group = Group::new(objects, "a");
        assert_eq!(group.list("").unwrap(), names(&["1", "2"]));
        assert_eq!(group.place("1"), objects.place("a/1"));
        assert!(group.has("1") && objects.has("a") && !objects.has("a/3"));
    });
}

#[test]
fn an_object_is_read_in_pieces_and_an_open_one_does_not_change() {
    each(|objects| {
        objects.put("a", b"0123456789").unwrap();
        let open = objects.open("a").unwrap();
        objects.put("a", b"another").unwrap();
        assert_eq!(open.length().unwrap(), 10);
        let mut piece = [0; 4];
        open.read_exact_at(&mut piece, 3).unwrap();
        assert_eq!(&piece, b"3456");
        assert_eq!(open.read_at(&mut piece, 8).unwrap(), 2);
        assert_eq!(open.read_at(&mut piece, 99).unwrap(), 0);
        let short = open.read_exact_at(&mut piece, 8).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(objects.get("a").unwrap(), b"another");
        assert_eq!(objects.get_at_most("a", 7).unwrap(), b"another");
        let long = objects.get_at_most("a", 6).unwrap_err();
        assert_eq!(long.kind(), ErrorKind::FileTooLarge);
        objects.remove("a").unwrap();
        assert!(!objects.has("a") && open.length().unwrap() == 10);
    });
}

#[test]
fn an_object_whose_writing_fails_is_the_one_before_or_not_there() {
    each(|objects| {
        for before in [None, Some(b"old")] {
            if let Some(before) = before {
                objects.put("a", before).unwrap();
            }
            let error = objects.put_with("a", &mut |to| {
                to.write_all(b"half")?;
                Err(std::io::Error::other("the disk is full"))
            });
            assert_eq!(error.unwrap_err().what, "writing failed");
            assert_eq!(objects.get("a").ok().as_deref(), before.map(|b| &b[..]));
            let listed = objects.list("").unwrap().len();
            assert_eq!(listed, usize::from(before.is_some()));
        }
    });
}

#[test]
fn of_many_who_write_what_is_absent_one_does() {
    fn ask(objects: &dyn Groups) {
        for round in 0..20 {
            let (name, won) = (format!("leader/{round}"), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for writer in 0..8_u8 {
                    let (name, won) = (&name, &won);
                    scope.spawn(move || {
                        if objects.put_if_absent(name, &[writer; 999]).unwrap() {
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(won.load(Ordering::Relaxed), 1);
            let held = objects.get(&name).unwrap();
            assert!(held.len() == 999 && held.iter().all(|byte| *byte == held[0]));
        }
        assert_eq!(objects.list("leader/").unwrap().len(), 20);
    }
    each(|objects| ask(objects));
}

#[test]
fn who_reads_while_others_write_sees_what_one_of_them_wrote() {
    each(|objects| {
        objects.put("a", &[0; 5000]).unwrap();
        std::thread::scope(|scope| {
            for writer in 1..4_u8 {
                scope.spawn(move || {
                    for _ in 0..50 {
                        let length = 1000 * usize::from(writer);
                        objects.put("a", &vec![writer; length]).unwrap();
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..200 {
                    let seen = objects.get("a").unwrap();
                    assert!(seen.iter().all(|byte| *byte == seen[0]));
                    let length = 1000 * usize::from(seen[0]);
                    assert!(seen.len() == length || seen[0] == 0);
                    assert_eq!(objects.list("").unwrap(), names(&["a"]));
                }
            });
        });
    });
}

/// One thing that is asked of a storage.
#[derive(Clone, Debug)]
enum Asked {
    Put(String, u8),
    PutIfAbsent(String, u8),
    Remove(String),
    Publish(String, String),
    Rename(String, String),
    Withdraw(String),
    Delete(String),
    Tidy,
}

fn asked() -> impl Strategy<Value = Asked> {
    let group = || prop::sample::select(&["g", "h", ".staging/1", ".staging/2"][..]);
    let named = || prop::sample::select(&["g", "h"][..]);
    let object = (group(), prop::sample::select(&["x", "y/z"][..]));
    let within = object.prop_map(|(group, name)| format!("{group}/{name}"));
    let object = || prop_oneof![within.clone(), Just("x".to_owned())].boxed();
    let text = |name: &str| name.to_owned();
    prop_oneof![
        4 => (object(), any::<u8>()).prop_map(|(name, byte)| Asked::Put(name, byte)),
        1 => (object(), any::<u8>()).prop_map(|(name, byte)| Asked::PutIfAbsent(name, byte)),
        // A folder may stay where the last object of a group goes by itself: groups go as one.
        1 => Just(Asked::Remove("x".to_owned())),
        2 => (group(), named()).prop_map(move |(from, to)| Asked::Publish(text(from), text(to))),
        1 => (group(), named()).prop_map(move |(from, to)| Asked::Rename(text(from), text(to))),
        1 => named().prop_map(move |name| Asked::Withdraw(text(name))),
        1 => group().prop_map(move |name| Asked::Delete(text(name))),
        1 => Just(Asked::Tidy),
    ]
}

/// What a storage holds.
type Held = BTreeMap<String, Vec<u8>>;

fn held(objects: &dyn Groups) -> Held {
    let mut names = objects.list("").unwrap();
    names.extend(objects.list(".staging/").unwrap());
    let get = |name: String| (name.clone(), objects.get(&name).unwrap());
    names.into_iter().map(get).collect()
}

/// What must be there after it, and whether it may be refused.
fn model(held: &mut Held, asked: &Asked) -> bool {
    let take = |held: &mut Held, group: &str| -> Held {
        let prefix = format!("{group}/");
        let (own, rest) = std::mem::take(held)
            .into_iter()
            .partition(|(name, _)| name.starts_with(&prefix));
        *held = rest;
        own
    };
    match asked {
        Asked::Put(name, byte) => drop(held.insert(name.clone(), vec![*byte])),
        Asked::PutIfAbsent(name, byte) => {
            held.entry(name.clone()).or_insert_with(|| vec![*byte]);
        }
        Asked::Remove(name) => drop(held.remove(name)),
        Asked::Publish(from, to) | Asked::Rename(from, to) => {
            let staged = take(held, from);
            if staged.is_empty() {
                return false;
            }
            take(held, to);
            for (name, bytes) in staged {
                held.insert(name.replacen(from, to, 1), bytes);
            }
        }
        Asked::Withdraw(name) | Asked::Delete(name) => drop(take(held, name)),
        Asked::Tidy => {}
    }
    true
}

fn ask(objects: &dyn Groups, asked: &Asked) -> bool {
    match asked {
        Asked::Put(name, byte) => objects.put(name, &[*byte]).is_ok(),
        Asked::PutIfAbsent(name, byte) => {
            let absent = !objects.has(name);
            objects.put_if_absent(name, &[*byte]).unwrap() == absent
        }
        Asked::Remove(name) => objects.remove(name).is_ok(),
        Asked::Publish(from, to) => objects.publish(from, to).is_ok(),
        Asked::Rename(from, to) => objects.rename(from, to).is_ok(),
        Asked::Withdraw(name) => objects.withdraw(name).is_ok(),
        Asked::Delete(name) => objects.delete(name).is_ok(),
        Asked::Tidy => objects.tidy().is_empty(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_asked_in_whatever_order_every_storage_holds_the_same(
        all in prop::collection::vec(asked(), 1..25)
    ) {
        let root = tempfile::tempdir().unwrap();
        let (folder, memory) = (Folder::new(root.path()), MemoryObjects::default());
        let mut expected = Held::new();
        for asked in all {
            match &asked {
                // A group moves to a name that is free, and to another one than its own.
                Asked::Rename(_, to) if folder.has(to) => continue,
                Asked::Publish(from, to) if from == to => continue,
                _ => {}
            }
            let done = model(&mut expected, &asked);
            for objects in [&folder as &dyn Groups, &memory] {
                prop_assert_eq!(ask(objects, &asked), done, "{:?}", &asked);
                prop_assert_eq!(held(objects), expected.clone(), "{:?}", &asked);
            }
        }
    }
}
