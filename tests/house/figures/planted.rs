//! Each measure finds what is planted in made-up sources, and nothing else.

use std::collections::BTreeSet;

use super::docs::short_docs;
use super::lengths::{percentile, production_lines};
use super::measured::Measured;
use super::page::page;
use super::sources::Sources;

fn measured(files: &[(&str, &str)]) -> Measured {
    Measured::new(&Sources::made_up(files), "shared").unwrap()
}

fn pairs(names: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let owned = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
    names.iter().map(owned).collect()
}

#[test]
fn a_planted_circle_of_files_is_found() {
    let found = measured(&[
        ("shared/src/lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;"),
        ("shared/src/a.rs", "use crate::b::B;\npub struct A(B);"),
        ("shared/src/b.rs", "pub struct B;\nfn f(_: super::a::A) {}"),
        ("shared/src/c.rs", "use crate::A;\nfn f(_: A) {}"),
    ]);
    let circle = vec!["shared/src/a.rs", "shared/src/b.rs"];
    assert_eq!(found.file_circles(), [circle]);
    assert_eq!(
        found.top_arrows(),
        pairs(&[("a", "b"), ("b", "a"), ("c", "a")])
    );
    assert_eq!(found.folder_circles().len(), 1);
    assert!(found.up_arrows().is_empty());
}

#[test]
fn a_circle_of_folders_needs_no_circle_of_files() {
    let found = measured(&[
        ("shared/src/lib.rs", "mod one;\nmod two;\nmod three;"),
        ("shared/src/one/mod.rs", "pub mod low;\npub mod high;"),
        ("shared/src/one/low.rs", "pub struct Low;"),
        (
            "shared/src/one/high.rs",
            "use crate::two;\nfn f(_: two::Two) {}",
        ),
        (
            "shared/src/two.rs",
            "use crate::one::low::Low;\npub struct Two(Low);",
        ),
        (
            "shared/src/three.rs",
            "use crate::two::Two;\nfn f(_: Two) {}",
        ),
    ]);
    assert!(found.file_circles().is_empty());
    let circle: BTreeSet<String> = ["one", "two"].map(str::to_owned).into();
    assert_eq!(found.folder_circles(), [circle]);
    assert_eq!(
        found.top_arrows(),
        pairs(&[("one", "two"), ("two", "one"), ("three", "two")])
    );
}

#[test]
fn only_an_item_of_the_parent_itself_runs_back_up() {
    let found = measured(&[
        ("shared/src/lib.rs", "pub mod folder;"),
        (
            "shared/src/folder/mod.rs",
            "mod child;\nmod sibling;\npub use sibling::Sibling;\npub struct Own;",
        ),
        (
            "shared/src/folder/child.rs",
            "use super::{Own, Sibling};\nfn f(_: Own, _: Sibling) {}",
        ),
        (
            "shared/src/folder/sibling.rs",
            "pub struct Sibling;\n#[cfg(test)]\nmod tests {\n    use super::super::Own;\n}",
        ),
    ]);
    assert_eq!(
        found.up_arrows(),
        ["shared/src/folder/child.rs:1 -> shared/src/folder/mod.rs (super::Own)"]
    );
    let folder = found
        .folders
        .iter()
        .find(|it| it.path == "shared/src/folder");
    let folder = folder.unwrap();
    assert_eq!(folder.rooms.len(), 2);
    assert_eq!(folder.arrows, pairs(&[("child", "sibling")]));
    assert_eq!(folder.up.len(), 1);
    assert!(
        found.file_circles().is_empty(),
        "a re-export alone is no import"
    );
}

#[test]
fn a_re_export_that_its_file_uses_is_an_import() {
    let found = measured(&[
        ("shared/src/lib.rs", "pub mod folder;"),
        (
            "shared/src/folder/mod.rs",
            "mod child;\npub use child::Child;\npub struct Own(Child);",
        ),
        (
            "shared/src/folder/child.rs",
            "pub struct Child;\nfn f(_: super::Own) {}",
        ),
    ]);
    assert_eq!(found.file_circles().len(), 1);
}

#[test]
fn imports_are_seen_in_macros_aliases_attributes_and_the_program() {
    let found = measured(&[
        (
            "shared/src/lib.rs",
            "pub mod a;\npub mod b;\npub mod c;\npub mod d;\npub mod e;",
        ),
        ("shared/src/main.rs", "fn main() { shared::a::f(); }"),
        (
            "shared/src/a.rs",
            "use crate::b as other;\npub fn f() { println!(\"{}\", other::g()); }",
        ),
        (
            "shared/src/b.rs",
            "pub fn g() -> u8 { assert!(crate::c::YES); 1 }",
        ),
        (
            "shared/src/c.rs",
            "pub const YES: bool = true;\n#[derive(Deserialize)]\nstruct C {\n    \
             #[serde(with = \"super::d::hex\")]\n    f: u8,\n}",
        ),
        (
            "shared/src/d.rs",
            "pub mod hex { use crate::e::*; }\n/// Not `crate::a::f`.\nconst S: &str = \"crate::a::f\";",
        ),
        ("shared/src/e.rs", "pub const E: u8 = 1;"),
    ]);
    let mut expected = pairs(&[("main", "a"), ("a", "b"), ("b", "c"), ("d", "e")]);
    // `with` names a module, whose functions the derived code calls.
    expected.insert(("c".to_owned(), "d".to_owned()));
    assert_eq!(found.top_arrows(), expected);
}

#[test]
fn a_name_that_leads_to_two_things_is_both() {
    let found = measured(&[
        ("shared/src/lib.rs", "pub mod folder;\npub mod user;"),
        (
            "shared/src/folder/mod.rs",
            "mod work;\npub mod other;\npub use work::work;\npub use other::*;",
        ),
        ("shared/src/folder/work.rs", "pub fn work() {}"),
        ("shared/src/folder/other.rs", "pub struct Other;"),
        (
            "shared/src/user.rs",
            "use crate::folder::{self, Other, work};\nfn f(_: Other) { work(); folder::work(); }",
        ),
    ]);
    let user = found
        .krate
        .files
        .iter()
        .position(|it| it.path.ends_with("user.rs"));
    let imported: Vec<&str> = found
        .arrows
        .keys()
        .filter(|(from, _)| Some(*from) == user)
        .map(|(_, to)| found.krate.files[*to].path.as_str())
        .collect();
    assert_eq!(
        imported,
        ["shared/src/folder/work.rs", "shared/src/folder/other.rs"]
    );
}

#[test]
fn a_function_of_81_lines_is_over_and_one_of_80_is_not() {
    let function = |name: &str, lines: usize| {
        let body = "    let _ = 1;\n".repeat(lines - 2);
        format!("fn {name}() {{\n{body}}}\n")
    };
    let method = format!("struct S;\nimpl S {{\n{}}}\n", function("method", 81));
    let test = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function("test", 90));
    let text = format!("{}{method}{test}", function("eighty", 80));
    let found = measured(&[("shared/src/lib.rs", &text)]);
    assert_eq!(
        found.long_functions(),
        ["S::method shared/src/lib.rs:83 81"]
    );
    let lengths: Vec<usize> = found.functions.iter().map(|it| it.lines).collect();
    assert_eq!(lengths, [80, 81]);
}

#[test]
fn a_doc_comment_of_two_words_is_found_and_one_of_three_is_not() {
    let text = "/// Who.\nstruct A;\n/// Its name -\nstruct B;\n/// It\n/// goes on.\nstruct C;\n\
                /// This has three.\nstruct D;\n// No doc.\n//// None.\nstruct E;\n\
                #[cfg(test)]\nmod tests {\n    /// A test.\n    fn t() {}\n}\n";
    let lines: Vec<usize> = short_docs(text).iter().map(|doc| doc.line).collect();
    assert_eq!(lines, [1, 3, 15]);
    let found = measured(&[("shared/src/lib.rs", text)]);
    assert_eq!(
        found.short_docs(),
        ["shared/src/lib.rs:1 Who.", "shared/src/lib.rs:3 Its name -"]
    );
}

#[test]
fn test_code_is_told_from_production() {
    let lib = "#[cfg(test)]\n#[path = \"lib_tests.rs\"]\nmod tests;\n#[cfg(all(test, unix))]\nfn t() {}\n\
               #[cfg(not(test))]\nfn p() {}\nimpl S {\n    /// Help.\n    #[cfg(test)]\n    fn h() {}\n}\n\
               #[cfg(any(test, unix))]\nmod both {\n}\n";
    let files = [
        ("shared/src/lib.rs", lib),
        ("shared/src/lib_tests.rs", "use super::*;\nfn x() {}\n"),
        ("shared/tests/it.rs", "fn y() {}\n"),
        ("shared/build.rs", "fn main() {}\n"),
        ("tests/one.rs", "\n\n\n"),
    ];
    let found = measured(&files);
    assert_eq!(found.krate.files.len(), 1);
    assert_eq!(production_lines(&found.krate.files[0]), 15 - 3 - 2 - 3);
    let page = page(&Sources::made_up(&files), &[found], true).unwrap();
    let row = |name: &str| -> Vec<usize> {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap();
        let figures = line.split_whitespace().skip(1);
        figures.map(|figure| figure.parse().unwrap()).collect()
    };
    assert_eq!(row("shared"), [1, 7, 2, 8 + 2 + 1]);
    assert_eq!(row("all"), [1, 7, 3, 11 + 3]);
}

#[test]
fn percentiles_are_by_nearest_rank() {
    let values: Vec<usize> = (1..=10).rev().collect();
    let of = |percent| percentile(&values, percent);
    assert_eq!([of(50), of(90), of(100)], [5, 9, 10]);
    assert_eq!(percentile(&[], 50), 0);
}
