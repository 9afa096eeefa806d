//! Prints the figures of the source tree: `figures [--long]`.

mod figures;

use figures::measured::Measured;
use figures::page::page;
use figures::sources::{CRATES, Sources};

fn main() -> Result<(), String> {
    let long = std::env::args().any(|argument| argument == "--long");
    let sources = Sources::read(&cluster_tests::repository())?;
    let crates: Result<Vec<_>, _> = CRATES
        .iter()
        .map(|name| Measured::new(&sources, name))
        .collect();
    let page = page(&sources, &crates?, long).map_err(|error| error.to_string())?;
    print!("{page}");
    Ok(())
}
