//! Finds personal data in texts, one per line, and says how fast: `tests/privacy/compare.py` holds it against others.
//!
//! Out: per line a JSON array of `[KIND, start, end]` in characters. On the error output: characters per second.

use std::io::{BufRead, Write};
use std::time::Instant;

use coordinator::data::privacy::{Kind, Privacy};
use shared::config::PrivacyConfig;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let privacy = Privacy::new(&PrivacyConfig::default())?;
    let lines: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let start = Instant::now();
    // What is read once per process is no part of the speed.
    let _warm = privacy.scan("王小明 and Mary Khan");
    let loaded = start.elapsed();
    let start = Instant::now();
    let found: Vec<_> = lines.iter().map(|line| privacy.scan(line)).collect();
    let seconds = start.elapsed().as_secs_f64();
    let characters: usize = lines.iter().map(|line| line.chars().count()).sum();
    let mut out = std::io::stdout().lock();
    for (line, findings) in lines.iter().zip(&found) {
        let place = |byte: usize| line[..byte].chars().count();
        let known = findings.iter().filter_map(|finding| match finding.kind {
            Kind::Known(kind) => {
                let span = &finding.span;
                Some(serde_json::json!([
                    kind.placeholder(),
                    place(span.start),
                    place(span.end)
                ]))
            }
            Kind::Rule(_) => None,
        });
        writeln!(out, "{}", serde_json::Value::Array(known.collect()))?;
    }
    let report = serde_json::json!({"load_seconds": loaded.as_secs_f64(), "seconds": seconds, "characters": characters});
    eprintln!("{report}");
    Ok(())
}
