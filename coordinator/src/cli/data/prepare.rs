//! `coordinator data prepare`: the data of a run, ready before a run needs it.
//!
//! In: a configuration. Out: the prepared datasets in `output_dir`, which a run with the same
//! configuration uses, and the reports. Keeps: an interrupted preparation goes on where it was.

use std::path::Path;

use shared::error::Result;
use shared::model::ModelConfig;
use shared::run_paths::RunPaths;

use super::{Opened, Source, open};
use crate::data::{self, DataConfig, Progress, Ready};
use crate::start::{belongs, check_writable, progress};

/// Prepares the data; the report, the dataset's file and whether it was there already, as text. Data
/// in `validation_dir` follows.
///
/// # Errors
/// Whatever is wrong with configuration, data or output folder.
pub fn run(args: &Source, cwd: &Path, progress: &mut dyn FnMut(Progress)) -> Result<String> {
    let opened = open(args, cwd)?;
    let shape = ModelConfig::load(&opened.config.base_model).ok();
    let Opened {
        config,
        output_dir,
        tokenizer,
        template,
    } = opened;
    check_writable(&output_dir)?;
    let folder = RunPaths::new(&output_dir).prepared();
    let held = |config: &DataConfig, ready: &Ready| {
        let model = shape.as_ref().map(|shape| belongs::Model {
            shape,
            tokenizer: &tokenizer,
            template: template.as_ref(),
        });
        model.map_or(Ok(()), |model| {
            belongs::prepared_within(config, model, ready, &folder)
        })
    };
    let ready = data::ready(&config, &tokenizer, template.as_ref(), &folder, progress)?;
    held(&config, &ready)?;
    let mut text = published(&ready, &folder)?;
    if let Some(validation) = &config.validation_dir {
        let config = config.of_validation(validation);
        let ready = data::ready(
            &config,
            &tokenizer,
            template.as_ref(),
            &folder,
            &mut progress::shown(),
        )?;
        held(&config, &ready)?;
        text.push_str(&format!("validation: {}", published(&ready, &folder)?));
    }
    Ok(text)
}

fn published(ready: &Ready, folder: &Path) -> Result<String> {
    let path = ready.publish(folder)?;
    let how = if ready.reused() {
        "prepared before"
    } else {
        "prepared"
    };
    Ok(format!("{}{how}: {}\n", ready.report, path.display()))
}
