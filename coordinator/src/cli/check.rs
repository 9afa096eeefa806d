//! `coordinator check`: what a configuration would do, without doing it.
//!
//! In: the file, `--set` texts, the folder relative paths start from. Out: a [`Report`].
//! Keeps: no side effect; a path that is not there is a warning, since a configuration may be
//! checked on a machine without the model.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::config::{self, AdapterKind, Loaded, RunConfig};
use shared::error::{Error, Result, visible};
use shared::model::AdapterSpec;

use crate::start::{belongs, check_bounds};

/// What `check` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The configuration file as it was named.
    pub file: String,
    /// Every key in the order of `resolved.yaml`.
    pub keys: Vec<KeyLine>,
    /// Samples per optimizer step.
    pub global_batch: u64,
    /// Units of work in a whole step: as many workers can be busy at once.
    pub micro_batches_per_step: u64,
    /// The factor on what a pair adds, where no pattern gives a module its own. IA3 has none.
    pub scaling: Option<f64>,
    /// What would stop `up` on this machine.
    pub warnings: Vec<String>,
    /// Notices of the configuration loader, which stop nothing.
    pub notices: Vec<String>,
}

/// One key of a [`Report`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyLine {
    /// Name of the key in the YAML.
    pub key: String,
    /// Its value as YAML.
    pub text: String,
    /// Its value as JSON.
    pub value: Value,
    /// `default`, `FILE:LINE`, `--set` or `derived from ...`.
    pub origin: String,
}

/// Checks a configuration. Nothing is written.
///
/// # Errors
/// `E01xx` when the configuration cannot be used as it stands.
pub fn run(config: &Path, set: &[String], cwd: &Path) -> Result<Report> {
    let loaded = config::load(config, set, cwd)?;
    check_bounds(&loaded.config)?;
    let (remarks, unusable) = belongs::look(&loaded.config);
    let missing = config::missing_paths(&loaded.config);
    let warnings = missing.iter().chain(&unusable).map(warning);
    let warnings = warnings.chain(remarks).collect();
    Ok(Report {
        file: config.display().to_string(),
        keys: key_lines(&loaded),
        global_batch: loaded.config.global_batch(),
        micro_batches_per_step: config::micro_batches_per_step(&loaded.config),
        scaling: scaling(&loaded.config),
        warnings,
        notices: loaded.notices,
    })
}

/// Of a module that no pattern names.
fn scaling(config: &RunConfig) -> Option<f64> {
    let spec = AdapterSpec::from(config);
    (spec.kind == AdapterKind::Lora).then(|| spec.scaling_of(""))
}

fn key_lines(loaded: &Loaded) -> Vec<KeyLine> {
    let typed = json_of(&loaded.config);
    config::values(&loaded.config)
        .into_iter()
        .map(|(key, text)| KeyLine {
            value: typed.get(key).cloned().unwrap_or(Value::Null),
            origin: loaded
                .origins
                .get(key)
                .cloned()
                .unwrap_or_else(|| "default".into()),
            key: key.to_owned(),
            text,
        })
        .collect()
}

fn json_of(config: &RunConfig) -> Map<String, Value> {
    config::json_values(config)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// An error that only `up` would stop at: what it is in one line, then its remedies.
fn warning(error: &Error) -> String {
    let place = error.place.as_ref().map_or("", |place| place.file.as_str());
    let place = visible(place);
    let told =
        |why: &&String| !why.starts_with("looked for ") && !why.starts_with("relative paths ");
    let reasons: Vec<&str> = error.why.iter().filter(told).map(String::as_str).collect();
    let mut text = format!(
        "{} {}: {place}: {}",
        error.code,
        error.what,
        visible(&reasons.join("; "))
    );
    for fix in &error.fix {
        text.push_str(&format!("\n  fix: {fix}"));
    }
    text
}

impl Report {
    /// The report for a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let wide = |text: fn(&KeyLine) -> &str| {
            self.keys
                .iter()
                .map(|line| text(line).chars().count())
                .max()
                .unwrap_or(0)
        };
        let (keys, values) = (wide(|line| &line.key), wide(|line| &line.text).min(40));
        let mut text = format!("{}\n", self.file);
        for KeyLine {
            key,
            text: value,
            origin,
            ..
        } in &self.keys
        {
            let (value, origin) = (visible(value), visible(origin));
            text.push_str(&format!("  {key:keys$}  {value:values$}  {origin}\n"));
        }
        text.push_str(&format!(
            "global batch: {} per step, cut into {}, whatever the number of workers\n",
            counted(self.global_batch, "sample", "samples"),
            counted(self.micro_batches_per_step, "micro-batch", "micro-batches"),
        ));
        let busy = self.micro_batches_per_step;
        text.push_str(&format!(
            "at most {} can compute at once\n",
            counted(busy, "worker", "workers")
        ));
        if let Some(scaling) = self.scaling {
            text.push_str(&format!("the adapter is scaled by {scaling}"));
            let own = ["rank_pattern", "alpha_pattern"];
            let own = own.map(|pattern| self.keys.iter().find(|line| line.key == pattern));
            let own = own.iter().flatten().filter(|line| line.value != json!([]));
            let own: Vec<&str> = own.map(|line| line.key.as_str()).collect();
            if !own.is_empty() {
                text.push_str(&format!(", but where {} says otherwise", own.join(" or ")));
            }
            text.push('\n');
        }
        for line in &self.warnings {
            text.push_str(&format!("warning: {line}\n"));
        }
        for line in &self.notices {
            text.push_str(&format!("notice: {}\n", visible(line)));
        }
        text.push_str("the configuration can be used");
        if !self.warnings.is_empty() {
            let count = counted(self.warnings.len() as u64, "warning", "warnings");
            text.push_str(&format!("; {count} to see to before `up` on this machine"));
        }
        text.push('\n');
        text
    }

    /// The report as one object with `event: check`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let keys: Map<String, Value> = self
            .keys
            .iter()
            .map(|line| {
                (
                    line.key.clone(),
                    json!({ "value": line.value, "origin": line.origin }),
                )
            })
            .collect();
        json!({
            "event": "check",
            "file": self.file,
            "keys": keys,
            "global_batch": self.global_batch,
            "micro_batches_per_step": self.micro_batches_per_step,
            "scaling": self.scaling,
            "warnings": self.warnings,
            "notices": self.notices,
        })
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::error::Code;

    fn root() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn law_qa_is_accepted_on_a_machine_without_its_model() {
        let folder = tempfile::tempdir().unwrap();
        let report = run(&root().join("configs/law_qa.yaml"), &[], folder.path()).unwrap();
        assert_eq!((report.global_batch, report.micro_batches_per_step), (4, 4));
        assert!(
            report
                .warnings
                .iter()
                .any(|line| line.contains("base_model")),
            "{report:?}"
        );
        assert_eq!(report.notices, [""; 0]);
        let text = report.to_text();
        let rank = text
            .lines()
            .find(|line| line.contains("lora_rank "))
            .unwrap();
        assert!(rank.ends_with("configs/law_qa.yaml:12"), "{rank}");
    }

    #[test]
    fn a_report_reads_well_and_check_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let text = "train_data_dir: .\nbase_model: /no/such/model\noutput_dir: out\nlora_rank: 4\n";
        std::fs::write(folder.path().join("run.yaml"), text).unwrap();
        let set = ["gradient_accumulation_steps=8".to_owned()];
        let report = run(Path::new("run.yaml"), &set, folder.path()).unwrap();
        let root = folder.path().display().to_string();
        let shown = report.to_text().replace(&root, "ROOT");
        let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(shown[shown.len() - 6..].join("\n"), @r#"
        global batch: 32 samples per step, cut into 8 micro-batches, whatever the number of workers
        at most 8 workers can compute at once
        the adapter is scaled by 2
        warning: E0108 `base_model` does not name a folder: /no/such/model: it is not there; / is the last part that is
          fix: put it there, or point `--set base_model=PATH` at it
        the configuration can be used; 1 warning to see to before `up` on this machine
        "#);
        assert_eq!(shown.len(), 1 + report.keys.len() + 6);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn the_json_has_typed_values_with_origins() {
        let set = ["seed=7".to_owned()];
        let json = run(Path::new("configs/quickstart.yaml"), &set, root())
            .unwrap()
            .to_json();
        assert_eq!(json["event"], "check");
        assert_eq!(
            json["keys"]["seed"],
            json!({ "value": 7, "origin": "--set" })
        );
        assert_eq!(
            json["keys"]["base_model"]["origin"],
            "configs/quickstart.yaml:6"
        );
        assert_eq!(
            json["keys"]["shuffle"],
            json!({ "value": true, "origin": "default" })
        );
        assert!(!json.to_string().contains('\n'));
    }

    #[test]
    fn what_cannot_be_sent_is_not_accepted() {
        let set = ["batch_size=65536", "micro_batch_size=1"].map(str::to_owned);
        let error = run(Path::new("configs/quickstart.yaml"), &set, root()).unwrap_err();
        assert_eq!(error.code, Code::OutOfRange);
    }

    #[test]
    fn a_configuration_that_cannot_be_used_is_an_error() {
        let set = ["lora_rnak=7".to_owned()];
        let error = run(Path::new("configs/quickstart.yaml"), &set, root()).unwrap_err();
        assert_eq!(error.code, Code::UnknownKey);
    }
}
