//! Settings of a config.json that change the arithmetic and are not built: all of them are told at once.

use serde_json::Value;

use super::keys::{Keys, bad};
use crate::error::{Error, Result};

/// Dropout and noise inside the base model.
const MUST_BE_ZERO: [&str; 4] = [
    "attention_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "router_jitter_noise",
];

/// Switches, and what they mean.
const MUST_BE_OFF: [(&str, &str); 2] = [
    (
        "use_bidirectional_attention",
        "attention to what comes later",
    ),
    ("output_router_logits", "a second loss over the router"),
];

impl Keys<'_> {
    /// Settings that would change the arithmetic and are not built.
    pub(super) fn check_refused(self) -> Result<()> {
        super::announced(self.get("quantization_config"))?;
        let (mut told, mut remedies) = (Vec::new(), Vec::new());
        for key in MUST_BE_ZERO {
            let value = self.get(key).and_then(Value::as_f64);
            if let Some(value) = value.filter(|v| v.abs() > 0.0) {
                told.push(format!("`{key}` {value} is not supported, only 0 is"));
                remedies.push(format!(
                    "set `{key}` to 0 in config.json; the adapter's own is lora_dropout"
                ));
            }
        }
        for (key, what) in MUST_BE_OFF {
            if self.flag(key)? {
                told.push(format!("`{key}` is not supported, it means {what}"));
                remedies.push(format!("set `{key}` to false in config.json"));
            }
        }
        let mut told = told.into_iter();
        let Some(first) = told.next() else {
            return Ok(());
        };
        let error = told.fold(bad(first), Error::why);
        Err(remedies.into_iter().fold(error, Error::fix))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(value: &Value) -> Result<()> {
        Keys(value.as_object().unwrap()).check_refused()
    }

    #[test]
    fn all_that_is_refused_is_told_at_once() {
        let value = json!({"resid_pdrop": 0.1, "embd_pdrop": 0.0, "attention_dropout": 0.2,
            "output_router_logits": true, "use_bidirectional_attention": null});
        insta::assert_snapshot!(crate::error::render(&checked(&value).unwrap_err()));
    }

    #[test]
    fn what_is_off_or_absent_is_not_refused() {
        let off =
            json!({"resid_pdrop": 0, "attention_dropout": 0.0, "output_router_logits": false});
        for value in [off, json!({})] {
            assert_eq!(checked(&value), Ok(()));
        }
        for (key, value) in [
            ("router_jitter_noise", json!(0.01)),
            ("output_router_logits", json!(true)),
        ] {
            let error = checked(&json!({key: value})).unwrap_err();
            assert!(
                error.what.contains(key) && error.fix[0].contains(key),
                "{error:?}"
            );
        }
        assert!(checked(&json!({"output_router_logits": 1})).is_err());
    }
}
