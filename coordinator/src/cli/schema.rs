//! `coordinator schema`: the JSON schema of a configuration, for editors.
//!
//! In: nothing. Out: the text of `configs/run.schema.json`. No side effect.

/// The JSON schema, ending with a newline.
#[must_use]
pub fn run() -> String {
    format!("{:#}\n", shared::config::json_schema())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_prints_the_stored_schema() {
        let stored = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../configs/run.schema.json"
        ))
        .unwrap();
        assert_eq!(super::run(), stored);
    }
}
