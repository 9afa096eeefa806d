//! The estimate as a page of text for people.
//!
//! In: an [`Estimate`]. Out: lines, sizes in KiB to TiB; figures that are not exact are marked with `about`.

use std::fmt;

use super::Estimate;
use super::serving::Verdict;

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file)?;
        self.work(f)?;
        self.adapter(f)?;
        self.memory(f)?;
        for (engine, word) in self.engines.iter().map(|e| (e, word(e.accepts))) {
            let setting = match engine.setting.as_str() {
                "" => String::new(),
                setting => format!(" with {setting}"),
            };
            let text = format!("{} {word}{setting}: {}", engine.name, engine.why);
            line(f, "serve", &text)?;
        }
        let time = match (self.time.seconds, self.time.tokens_per_second) {
            (Some(seconds), Some(rate)) => {
                let workers = plural(self.wire.workers, "worker", "workers");
                let rate = format!("{rate:.0} tokens/s each ({})", self.time.source);
                format!("about {} with {workers} at {rate}", clock(seconds))
            }
            _ => self.time.source.clone(),
        };
        line(f, "time", &time)?;
        for advice in &self.advice {
            line(f, "advice", &format!("{}: {}", advice.about, advice.text))?;
            line(f, "", &format!("because: {}", advice.evidence))?;
        }
        Ok(())
    }
}

impl Estimate {
    fn work(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let about = if counts.exact() { "" } else { "about " };
        let data = format!(
            "{} samples, {} tokens, the longest {}",
            counts.samples, counts.dataset_tokens, counts.longest
        );
        line(f, "data", &data)?;
        let steps = format!(
            "{}, {} an epoch, {}; up to {} a step",
            plural(counts.steps, "step", "steps"),
            counts.steps_per_epoch,
            plural(counts.epochs, "epoch", "epochs"),
            plural(
                counts.micro_batches_per_step,
                "micro-batch",
                "micro-batches"
            ),
        );
        line(f, "run", &steps)?;
        let tokens = format!(
            "{about}{} tokens, {} of them learned; {} computed, {:.1} % of them padding",
            counts.tokens,
            counts.target_tokens,
            counts.computed_tokens,
            counts.padding_share * 100.0
        );
        line(f, "tokens", &tokens)
    }

    fn adapter(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = &self.parameters;
        let trained = format!(
            "{} parameters on {} linears, {:.3} % of {}",
            parameters.trainable,
            parameters.adapted_linears,
            parameters.share * 100.0,
            parameters.base + parameters.trainable
        );
        line(f, "adapter", &trained)?;
        let disk = &self.disk;
        let files = format!(
            "adapter_model.safetensors {} bytes ({}); a checkpoint about {}, {} at the end",
            disk.adapter,
            size(disk.adapter),
            size(disk.checkpoint),
            disk.checkpoints
        );
        line(f, "files", &files)?;
        let wire = &self.wire;
        let sent = match wire.workers {
            1 => "one worker sends no gradients".to_owned(),
            workers => format!(
                "{workers} workers: each sends and receives {} a step, {} together",
                size(wire.sent_per_worker),
                size(wire.sent_by_all)
            ),
        };
        line(f, "wire", &sent)
    }
}

impl Estimate {
    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = &self.memory;
        let peak = format!(
            "about {} alive at once in a worker on the CPU, and {} of mapped weights",
            size(memory.peak),
            size(memory.mapped)
        );
        line(f, "memory", &peak)?;
        let parts = [
            ("runtime", memory.runtime),
            ("weights converted", memory.weights),
            ("data", memory.data),
            ("adapter", memory.adapter),
            ("integers", memory.integers),
            ("activations", memory.activations),
            ("transient", memory.transient),
        ];
        let parts = parts.iter().filter(|(_, bytes)| *bytes > 0);
        let parts: Vec<String> = parts
            .map(|(name, bytes)| format!("{name} {}", size(*bytes)))
            .collect();
        line(f, "", &parts.join(" | "))?;
        let gpu = &self.gpu;
        let card = format!(
            "about {} of a card: weights {}, activations {}, transient {}; {} with activation_checkpointing: on",
            size(gpu.peak),
            size(gpu.weights),
            size(gpu.activations),
            size(gpu.transient),
            size(gpu.peak_checkpointed)
        );
        line(f, "gpu", &card)
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yes => "yes",
        Verdict::No => "no",
        Verdict::Unknown => "unknown",
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {}", format!("{name:<8} {text}").trim_end())
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A size as `14.2 MiB`, in units of 1024.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time as `1 h 02 min`, `2 min 03 s` or `3.4 s`.
fn clock(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short_to_read() {
        let sizes = [0, 1023, 1024, 1536 * 1024, 5 << 30, 3 << 50].map(size);
        assert_eq!(
            sizes,
            [
                "0 bytes",
                "1023 bytes",
                "1.0 KiB",
                "1.5 MiB",
                "5.0 GiB",
                "3072.0 TiB"
            ]
        );
        let times = [3.44, 123.0, 3720.4].map(clock);
        assert_eq!(times, ["3.4 s", "2 min 03 s", "1 h 02 min"]);
    }
}
