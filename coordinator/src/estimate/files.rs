//! Bytes of the files a run leaves, before one of them is written.
//!
//! In: names and shapes of the adapter's tensors. Out: the exact size of the tensor files. A safetensors file is 8
//! bytes, a JSON header filled up with spaces to a multiple of 8, and the values. Tensors are ordered by descending
//! size of their type, then by name, and the header's offsets follow that order.

use shared::config::Precision;
use shared::manifest::ExpectedTensor;

/// Bytes of a value of an adapter or a moment.
const F32: u64 = 4;
/// Bytes of a counter.
const I64: u64 = 8;
/// The part of a header before its tensors.
const FORMAT: &str = r#"{"__metadata__":{"format":"pt"}"#;

/// One tensor of a file: name, shape, whether it is a counter.
type Entry = (String, Vec<usize>, bool);

/// Bytes of `adapter_model.safetensors`: `8 + header + 4 n` for n values in f32, the header filled up to a multiple of
/// 8.
#[must_use]
pub fn adapter_bytes(tensors: &[ExpectedTensor]) -> u64 {
    let entries = tensors
        .iter()
        .map(|tensor| (tensor.key.clone(), tensor.shape.clone(), false));
    file_bytes(entries.collect())
}

/// Names of a state's counters, and of the further ones in fp16.
const COUNTERS: [&str; 2] = ["step", "optimizer_steps"];
const OF_SCALE: [&str; 3] = [
    "loss_scale",
    "loss_scale_good_steps",
    "loss_scale_skipped_steps",
];

/// Bytes of a checkpoint's `optimizer.safetensors`: `8 + header + 8 n + 8 c` for two f32 moments of n values and c
/// counters in i64, 2 of them, or 5 in fp16; the header is filled up to a multiple of 8.
#[must_use]
pub fn optimizer_bytes(tensors: &[ExpectedTensor], precision: Precision) -> u64 {
    let moments = tensors.iter().flat_map(|tensor| {
        ["exp_avg", "exp_avg_sq"].map(|moment| {
            let key = format!("{moment}.{}", tensor.key);
            (key, tensor.shape.clone(), false)
        })
    });
    let scales = precision == Precision::Fp16;
    let of_scale = OF_SCALE.iter().filter(|_| scales);
    let counters = COUNTERS.iter().chain(of_scale);
    let counters = counters.map(|key| ((*key).to_owned(), vec![1], true));
    file_bytes(moments.chain(counters).collect())
}

fn file_bytes(mut entries: Vec<Entry>) -> u64 {
    // i64 is the larger type.
    entries.sort_by(|(a, _, a_counts), (b, _, b_counts)| b_counts.cmp(a_counts).then(a.cmp(b)));
    let mut header = FORMAT.len() as u64 + 1;
    let mut offset = 0;
    for (name, shape, counter) in entries {
        let elements: usize = shape.iter().product();
        let (dtype, each) = if counter { ("I64", I64) } else { ("F32", F32) };
        let end = offset + elements as u64 * each;
        let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
        let shape = shape.join(",");
        let text = format!(
            r#","{name}":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[{offset},{end}]}}"#
        );
        header += text.len() as u64;
        offset = end;
    }
    8 + header.next_multiple_of(8) + offset
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    fn tensors(count: usize, rank: usize) -> Vec<ExpectedTensor> {
        (0..count)
            .map(|layer| ExpectedTensor {
                key: format!("base_model.model.model.layers.{layer}.q_proj.lora_A.weight"),
                shape: vec![rank, 37],
            })
            .collect()
    }

    fn written(entries: &[(String, Vec<usize>, Dtype)]) -> u64 {
        let bytes = |shape: &[usize], dtype: Dtype| {
            vec![0u8; shape.iter().product::<usize>() * dtype.bitsize() / 8]
        };
        let data: Vec<_> = entries.iter().map(|(_, s, d)| bytes(s, *d)).collect();
        let views = entries
            .iter()
            .zip(&data)
            .map(|((name, shape, dtype), data)| {
                let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
                (name.clone(), view)
            });
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views, Some(format)).unwrap().len() as u64
    }

    #[test]
    fn sizes_are_those_that_the_writer_gives() {
        for (count, rank) in [(1, 1), (2, 8), (11, 3), (130, 16)] {
            let tensors = tensors(count, rank);
            let adapter: Vec<_> = tensors
                .iter()
                .map(|t| (t.key.clone(), t.shape.to_vec(), Dtype::F32))
                .collect();
            assert_eq!(adapter_bytes(&tensors), written(&adapter), "{count} {rank}");
            let counter = |key: &&str| ((*key).to_owned(), vec![1], Dtype::I64);
            let mut optimizer: Vec<_> = COUNTERS.iter().map(counter).collect();
            for moment in ["exp_avg", "exp_avg_sq"] {
                optimizer.extend(
                    adapter
                        .iter()
                        .map(|(k, s, d)| (format!("{moment}.{k}"), s.clone(), *d)),
                );
            }
            let bytes = |precision| optimizer_bytes(&tensors, precision);
            assert_eq!(bytes(Precision::F32), written(&optimizer));
            optimizer.extend(OF_SCALE.iter().map(counter));
            assert_eq!(bytes(Precision::Fp16), written(&optimizer));
        }
    }
}
