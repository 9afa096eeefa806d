//! The part of a configuration that decides the adapter, for comparing two runs.
//!
//! In: a [`RunConfig`]. Out: key to text, and the differences of two of them in words.
//! Left out: where things lie (base model, data, first adapter and parent count by their digests),
//! what is written when, who computes where and how many: none of it changes a byte of the adapter.

use std::collections::BTreeMap;

use super::keys::{ROWS, RunConfig, row};
use super::row::Row;

/// The keys that decide the adapter, and their values.
///
/// Base model, data, `init_adapter` and `parent` decide it too: by their digests, which are compared
/// elsewhere, never by their paths.
#[must_use]
pub fn identity_fields(config: &RunConfig) -> BTreeMap<String, String> {
    ROWS.iter()
        .map(|row| (row, row.value(config)))
        .filter(|(row, value)| row.decides(config, value))
        .map(|(row, value)| (row.key.name.to_owned(), value))
        .collect()
}

/// Whether a step of a run can take longer or shorter where this part of its identity differs.
#[must_use]
pub fn changes_pace(part: &str) -> bool {
    row(part).is_none_or(Row::changes_pace)
}

/// The differences in words, one line per key, in the order of the keys' names.
#[must_use]
pub fn difference(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let said = |key: &str, value: Option<&String>| {
        let missing = row(key).and_then(Row::omitted).unwrap_or("not there");
        value.map_or(missing, String::as_str).to_owned()
    };
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| {
            format!(
                "{key}: was {}, now {}",
                said(key, old.get(key)),
                said(key, new.get(key))
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::choices::{DeviceClassPolicy, LossOn, OnNonFinite, Precision, Quantization};
    use super::super::tests::minimal;
    use super::*;

    #[test]
    fn where_things_lie_and_who_computes_is_no_difference() {
        let old = minimal();
        let mut new = minimal();
        new.output_dir = "/elsewhere".into();
        new.base_model = "/moved".into();
        new.save_steps = 1;
        new.logging_steps = 7;
        new.min_workers = 3;
        new.max_workers = Some(5);
        new.failure_detection = 0.5;
        new.ride_through = 600.0;
        new.device_class = DeviceClassPolicy::Strict;
        new.audit_rate = 0.25;
        new.parent_optimizer = false;
        new.device = "cuda".into();
        new.stability.on_non_finite = OnNonFinite::Fail;
        new.stability.max_skipped_steps = 3;
        new.stability.initial_loss_scale = 8;
        new.resume_from_checkpoint = Some("latest".into());
        assert!(difference(&identity_fields(&old), &identity_fields(&new)).is_empty());
    }

    #[test]
    fn what_a_parent_hands_down_decides_where_it_lies_does_not() {
        let mut old = minimal();
        old.parent = Some("/first/output".into());
        let mut new = old.clone();
        new.parent = Some("/moved".into());
        assert!(difference(&identity_fields(&old), &identity_fields(&new)).is_empty());
        new.parent_optimizer = false;
        assert_eq!(
            difference(&identity_fields(&old), &identity_fields(&new)),
            ["parent_optimizer: was true, now false"]
        );
    }

    #[test]
    fn loss_on_decides_where_train_on_inputs_does_not_say_it() {
        let every = minimal();
        assert!(!identity_fields(&every).contains_key("loss_on"));
        let mut last = minimal();
        last.loss_on = LossOn::Last;
        assert_eq!(
            difference(&identity_fields(&every), &identity_fields(&last)),
            ["loss_on: was not there, now last"]
        );
        let mut old = minimal();
        old.train_on_inputs = true;
        let mut new = old.clone();
        new.loss_on = LossOn::All;
        assert_eq!(identity_fields(&old), identity_fields(&new));
    }

    #[test]
    fn how_samples_are_batched_decides_and_is_left_out_where_it_is_as_ever() {
        let old = minimal();
        let mut new = minimal();
        new.packing = true;
        new.group_by_length = true;
        let (old, new) = (identity_fields(&old), identity_fields(&new));
        assert!(!old.contains_key("packing") && !old.contains_key("group_by_length"));
        assert_eq!(
            difference(&old, &new),
            [
                "group_by_length: was false, now true",
                "packing: was false, now true"
            ]
        );
        assert_eq!(difference(&new, &old)[1], "packing: was true, now false");
    }

    #[test]
    fn the_first_loss_scale_decides_in_fp16_only() {
        let mut old = minimal();
        old.precision = Precision::Fp16;
        let mut new = old.clone();
        new.stability.initial_loss_scale = 1024;
        assert_eq!(
            difference(&identity_fields(&old), &identity_fields(&new)),
            ["initial_loss_scale: was 65536, now 1024"]
        );
    }

    #[test]
    fn quantized_weights_decide_and_are_left_out_where_there_are_none() {
        let old = minimal();
        let mut new = minimal();
        new.quantization.double = false;
        let of = identity_fields;
        assert_eq!(of(&old), of(&new), "there are no scales to quantize");
        new.quantization.form = Quantization::Nf4;
        assert_eq!(
            difference(&of(&old), &of(&new)),
            [
                "quantization: was none, now nf4",
                "quantization_double: was not there, now false"
            ]
        );
        new.quantization.form = Quantization::Int8;
        assert_eq!(
            difference(&of(&old), &of(&new)),
            ["quantization: was none, now int8"]
        );
    }

    #[test]
    fn a_difference_names_key_and_both_values() {
        let old = minimal();
        let mut new = minimal();
        new.learning_rate = 1e-5;
        new.lora_rank = 16;
        let mut fields = identity_fields(&new);
        fields.remove("seed");
        assert_eq!(
            difference(&identity_fields(&old), &fields),
            [
                "learning_rate: was 0.0002, now 1.0e-5",
                "lora_rank: was 8, now 16",
                "seed: was 42, now not there"
            ]
        );
    }
}
