//! How sure it is what a file is, and why.
//!
//! In: what the readers found. Out: a percentage by fixed rules, with its reasons: what is configured or
//! has a structure of its own is certain, known names are nearly so. Keeps: what is less sure was
//! refused by its reader, and a file without a sample is nothing.

use serde::Serialize;

use super::config::DataConfig;
use super::file_report::{Certainty, FileReport, Form};

/// Why nothing is known of a file.
const NO_SAMPLE: &str = "it holds no sample";

/// What a file was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detected {
    /// Path below the data folder.
    pub file: String,
    /// The form it was read as.
    pub form: Form,
    /// Samples that were read from it.
    pub samples: u64,
    /// How sure it is, in percent.
    pub sure: u8,
    /// What makes it so sure, or so unsure.
    pub reasons: Vec<String>,
    /// Its first samples in short.
    #[serde(skip)]
    pub previews: Vec<String>,
}

impl std::fmt::Display for Detected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            form,
            sure,
            reasons,
            ..
        } = self;
        writeln!(f, "{file}: {form}, {sure} % sure: {}", reasons.join("; "))?;
        for preview in &self.previews {
            writeln!(f, "  {preview}")?;
        }
        Ok(())
    }
}

/// What a file was taken for, and how sure that is.
#[must_use]
pub fn detected(report: &FileReport, config: &DataConfig) -> Detected {
    let (sure, reasons) = match report.form {
        _ if report.samples == 0 => (0, vec![NO_SAMPLE.into()]),
        Form::Dialogue => dialogue(report),
        form => (fields(report, form, config), vec![why(form, config)]),
    };
    Detected {
        file: report.file.clone(),
        form: report.form,
        samples: report.samples,
        sure,
        reasons,
        previews: Vec::new(),
    }
}

fn fields(report: &FileReport, form: Form, config: &DataConfig) -> u8 {
    let named = config.csv_columns.is_some() || !config.formats.columns.is_empty();
    match form {
        Form::Mixed => 70,
        Form::Pairs | Form::Table | Form::Sheet if !named => {
            95 - 5 * u8::from(!report.unused.is_empty())
        }
        _ => 100,
    }
}

fn why(form: Form, config: &DataConfig) -> String {
    let named = config.csv_columns.is_some() || !config.formats.columns.is_empty();
    match form {
        Form::Mixed => "its samples have more than one form".into(),
        Form::Text => "`data_form: text` says so".into(),
        _ if named => "its fields are named in the configuration".into(),
        Form::Pairs | Form::Table | Form::Sheet => "the names of its fields are known".into(),
        Form::Tokens => "it has `input_ids`".into(),
        Form::Metadata => "it is named as metadata".into(),
        form => format!("its keys are those of {form}"),
    }
}

fn dialogue(report: &FileReport) -> (u8, Vec<String>) {
    match &report.certainty {
        Some(Certainty { percent, reason }) => (*percent, vec![reason.clone()]),
        None => (0, vec![NO_SAMPLE.into()]),
    }
}

#[cfg(test)]
mod tests {
    use shared::config::testing;

    use super::*;

    #[test]
    fn a_file_without_a_sample_is_nothing_for_sure() {
        let config = DataConfig::from(&testing::config("").unwrap());
        let mut report = FileReport::new("a.jsonl", Form::Messages);
        assert_eq!(detected(&report, &config).sure, 0);
        report.samples = 1;
        assert_eq!(detected(&report, &config).sure, 100);
    }
}
