//! All figures as text: a short page, and with `long` the lists behind it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::circles::graph;
use super::lengths::{percentile, production_lines};
use super::measured::{LONGEST_FUNCTION, Measured};
use super::sources::Sources;

/// The figures as text; `long` adds every list and the tables of allowed arrows.
pub fn page(sources: &Sources, crates: &[Measured], long: bool) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    sizes(&mut out, sources, crates)?;
    lengths(&mut out, crates)?;
    rooms(&mut out, crates)?;
    lists(&mut out, crates, long)?;
    if long {
        out.push('\n');
        for of in crates {
            table(&mut out, of)?;
        }
    }
    Ok(out)
}

fn sizes(out: &mut String, sources: &Sources, crates: &[Measured]) -> std::fmt::Result {
    writeln!(
        out,
        "{:<14}{:>7}{:>8}{:>12}{:>12}",
        "crate", "files", "lines", "test files", "test lines"
    )?;
    let mut total = [0; 4];
    let mut row = |out: &mut String, name: &str, figures: [usize; 4]| {
        for (sum, figure) in total.iter_mut().zip(figures) {
            *sum += figure;
        }
        let [files, lines, test_files, test_lines] = figures;
        writeln!(
            out,
            "{name:<14}{files:>7}{lines:>8}{test_files:>12}{test_lines:>12}"
        )?;
        Ok(total)
    };
    for of in crates {
        let files = &of.krate.files;
        let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let all = |path: &str| paths.contains(path);
        let own = sources.of_crate(&of.krate.name);
        let (production, test): (Vec<_>, Vec<_>) = own.partition(|(path, _)| all(path));
        let lines = |those: &[(&str, &str)]| -> usize {
            those.iter().map(|(_, text)| text.lines().count()).sum()
        };
        let outside_tests = files.iter().map(production_lines).sum();
        let test_lines = lines(&test) + lines(&production) - outside_tests;
        row(
            out,
            &of.krate.name,
            [files.len(), outside_tests, test.len(), test_lines],
        )?;
    }
    let test: Vec<_> = sources.of_crate("tests").collect();
    let lines = test.iter().map(|(_, text)| text.lines().count()).sum();
    let [files, production, test_files, test_lines] = row(out, "tests", [0, 0, test.len(), lines])?;
    writeln!(
        out,
        "{:<14}{files:>7}{production:>8}{test_files:>12}{test_lines:>12}",
        "all"
    )
}

fn lengths(out: &mut String, crates: &[Measured]) -> std::fmt::Result {
    let files = crates.iter().flat_map(|of| &of.krate.files);
    let files: Vec<usize> = files.map(production_lines).collect();
    let functions = crates.iter().flat_map(|of| &of.functions);
    let functions: Vec<usize> = functions.map(|it| it.lines).collect();
    writeln!(
        out,
        "\n{:<14}{:>7}{:>8}{:>6}{:>6}",
        "lines of a", "count", "median", "p90", "max"
    )?;
    for (name, values) in [("file", files), ("function", functions)] {
        let [median, p90, max] = [50, 90, 100].map(|percent| percentile(&values, percent));
        writeln!(
            out,
            "{name:<14}{:>7}{median:>8}{p90:>6}{max:>6}",
            values.len()
        )?;
    }
    Ok(())
}

fn rooms(out: &mut String, crates: &[Measured]) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<36}{:>6}{:>8}{:>5}{:>9}",
        "folder", "rooms", "arrows", "up", "circles"
    )?;
    for folder in crates.iter().flat_map(|of| &of.folders) {
        writeln!(
            out,
            "{:<36}{:>6}{:>8}{:>5}{:>9}",
            folder.path,
            folder.rooms.len(),
            folder.arrows.len(),
            folder.up.len(),
            folder.circles().len()
        )?;
    }
    Ok(())
}

fn lists(out: &mut String, crates: &[Measured], long: bool) -> std::fmt::Result {
    let over = format!("functions over {LONGEST_FUNCTION} lines");
    section(
        out,
        &over,
        crates.iter().flat_map(Measured::long_functions),
        true,
    )?;
    let circles = crates.iter().flat_map(Measured::file_circles);
    section(
        out,
        "circles of files",
        circles.map(|circle| circle.join(", ")),
        long,
    )?;
    let top = crates.iter().flat_map(|of| {
        let circles = of.folder_circles().into_iter();
        circles.map(|circle| format!("{}: {}", of.krate.name, joined(&circle)))
    });
    section(out, "circles of folders", top, true)?;
    let circles = crates.iter().flat_map(Measured::room_circles);
    let circles = circles.map(|(folder, circle)| format!("{folder}: {}", joined(&circle)));
    section(out, "circles of rooms, in all folders", circles, long)?;
    section(
        out,
        "imports that run back up",
        crates.iter().flat_map(Measured::up_arrows),
        long,
    )?;
    let docs = crates.iter().flat_map(Measured::short_docs);
    section(out, "doc comments of one or two words", docs, long)
}

fn joined(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(", ")
}

fn section(
    out: &mut String,
    name: &str,
    lines: impl Iterator<Item = String>,
    listed: bool,
) -> std::fmt::Result {
    let lines: Vec<String> = lines.collect();
    writeln!(out, "\n{name}: {}", lines.len())?;
    for line in lines.iter().filter(|_| listed) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// A crate's top arrows as rows of a Rust constant.
fn table(out: &mut String, of: &Measured) -> std::fmt::Result {
    let name = &of.krate.name;
    writeln!(out, "/// What each top room of `{name}` may import.")?;
    writeln!(
        out,
        "const {}: &[(&str, &[&str])] = &[",
        name.to_uppercase()
    )?;
    for (from, to) in graph(of.top_arrows()) {
        let to: Vec<String> = to.iter().map(|to| format!("{to:?}")).collect();
        writeln!(out, "    ({from:?}, &[{}]),", to.join(", "))?;
    }
    writeln!(out, "];")
}
