//! The rooms of `coordinator/src/data` stand on one another: none imports from one above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from below: each may import from those before it.
const ROOMS: &[&str] = &[
    "config",
    "damage",
    "excerpt",
    "listed",
    "file_report",
    "of_a_kind",
    "sample",
    "parallel",
    "files",
    "forms",
    "detection",
    "sources",
    "pieces",
    "privacy",
    "report",
    "tokenize",
    "rows",
    "walk",
    "prepare",
    "cache",
    "doctor",
    "first_samples",
    "diagnosis",
    "preview",
    "to_json",
];
/// Rooms that could be crates of their own, with all that they import.
const CRATES: &[(&str, &[&str])] = &[
    ("privacy", &["listed", "sample"]),
    ("doctor", &["damage", "listed", "sample"]),
];

#[test]
fn no_room_imports_from_one_above_it_or_from_the_house_itself() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data");
    let mut rooms: Vec<String> = Vec::new();
    for entry in fs::read_dir(&house).unwrap() {
        let path = entry.unwrap().path();
        let room = path.file_stem().unwrap().to_string_lossy().into_owned();
        let files = sources(&path);
        if room == "mod" || files.is_empty() {
            continue;
        }
        for file in files {
            let outer = file == path || file == path.join("mod.rs");
            let text = fs::read_to_string(&file).unwrap();
            assert!(
                outer || !text.contains("\nuse super::super::"),
                "{} names a room without crate::data",
                file.display()
            );
            for import in imports(&text, outer) {
                let floor = |name: &str| ROOMS.iter().position(|known| *known == name);
                let below = floor(&import) <= floor(&room) && floor(&import).is_some();
                assert!(below, "{} imports {import}", file.display());
                let known = CRATES.iter().find(|(name, _)| *name == room);
                let alone = known.is_none_or(|(_, all)| all.contains(&import.as_str()));
                assert!(
                    alone || import == room,
                    "{} imports {import}",
                    file.display()
                );
            }
        }
        rooms.push(room);
    }
    rooms.sort_unstable();
    let mut known = ROOMS.to_vec();
    known.sort_unstable();
    assert_eq!(rooms, known);
}

/// The file itself, or all files of a folder.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let entries = fs::read_dir(path).unwrap();
    entries
        .flat_map(|entry| sources(&entry.unwrap().path()))
        .collect()
}

/// The rooms that a file names; an `outer` one names them by `super` too.
fn imports(text: &str, outer: bool) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim().starts_with("//"));
    let text = code.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for prefix in ["crate::data::", "super::"]
        .iter()
        .take(1 + usize::from(outer))
    {
        for (at, _) in text.match_indices(prefix) {
            let rest = &text[at + prefix.len()..];
            let (list, several) = match rest.strip_prefix('{') {
                Some(list) => (list, true),
                None => (rest, false),
            };
            let mut depth = 0;
            let mut word = String::new();
            for letter in list.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    ',' if several && depth == 0 => found.push(std::mem::take(&mut word)),
                    _ if letter == ';' || letter == '}' || (!several && !is_part(letter)) => break,
                    _ if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            found.push(word);
        }
    }
    let room = |word: String| word.trim().split("::").next().map(str::to_owned);
    let rooms = found.into_iter().filter_map(room);
    rooms.filter(|room| !room.is_empty()).collect()
}

fn is_part(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
