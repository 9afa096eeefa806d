//! Safetensors of a base model: where each tensor lies, checked against the architecture.
//!
//! In: a folder with `model.safetensors`, or shards with `model.safetensors.index.json`. Out:
//! memory maps and the place of every tensor the architecture needs. Only headers are read.
//! Keeps: a [`WeightFiles`] that was made holds every expected tensor in its expected shape.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, UncheckedAdvice};
use safetensors::{Dtype, SafeTensors};

use super::quantized::{announced_in, stored};
use super::{ModelConfig, Stored, experts};
use crate::config::Quantization;
use crate::error::{Code, Error, Result};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Place and form of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Index of the mapped file that holds the tensor.
    pub file: usize,
    /// First byte in the file.
    pub start: usize,
    /// Length of the tensor in the file, bytes.
    pub bytes: usize,
    /// Type of its elements, as the file declares it.
    pub dtype: Dtype,
    /// Shape of the tensor, outermost dimension first, as the file declares it.
    pub shape: Vec<usize>,
}

/// The mapped weight files of one base model.
#[derive(Debug)]
pub struct WeightFiles {
    maps: Vec<Mmap>,
    tensors: HashMap<String, TensorSpec>,
    /// The weights that lie quantized.
    quantized: HashMap<String, Stored>,
}

/// Names and shapes of all tensors an architecture needs.
#[must_use]
pub fn expected_tensors(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let (hidden, vocab) = (config.hidden_size, config.vocab_size);
    let mut expected = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, hidden])];
    for layer in 0..config.layers {
        for &projection in config.projections(layer) {
            let (inputs, outputs) = config.features(projection);
            let name = format!("model.layers.{layer}.{}", projection.path());
            if config.biased(projection) {
                expected.push((format!("{name}.bias"), vec![outputs]));
            }
            expected.push((format!("{name}.weight"), vec![outputs, inputs]));
        }
    }
    for (layer, kind) in config.layer_kinds.iter().enumerate() {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for norm in config.norms.of_layer() {
            expected.push((name(norm), vec![hidden]));
        }
        if config.norms.query_key {
            for norm in ["self_attn.q_norm", "self_attn.k_norm"] {
                expected.push((name(norm), vec![config.head_dim]));
            }
        }
        if kind.experts {
            expected.extend(experts::expected(config, layer));
        }
    }
    expected.push(("model.norm.weight".to_owned(), vec![hidden]));
    if !config.tie_word_embeddings {
        expected.push(("lm_head.weight".to_owned(), vec![vocab, hidden]));
    }
    expected
}

/// Checks the headers of the weight files against the architecture.
///
/// # Errors
/// As [`WeightFiles::open`].
pub fn check_weights(folder: &Path, config: &ModelConfig) -> Result<()> {
    WeightFiles::open(folder, config).map(drop)
}

impl WeightFiles {
    /// Maps the weight files and checks their headers against the architecture.
    ///
    /// # Errors
    /// [`Code::BadWeights`], [`Code::MissingShard`] or [`Code::MissingTensor`].
    pub fn open(folder: &Path, config: &ModelConfig) -> Result<Self> {
        let paths = weight_paths(folder)?;
        let mut files = Self {
            maps: Vec::with_capacity(paths.len()),
            tensors: HashMap::new(),
            quantized: HashMap::new(),
        };
        for path in &paths {
            files.add(path)?;
        }
        experts::split(config, &mut files.tensors);
        for (name, shape) in expected_tensors(config) {
            match stored(&files, &name, &shape).map_err(|e| e.in_file(folder))? {
                Some(found) => drop(files.quantized.insert(name, found)),
                None => files.check(&name, &shape).map_err(|e| e.in_file(folder))?,
            }
        }
        if files.quantized.is_empty() && announced_in(folder)?.form != Quantization::None {
            return Err(Error::new(
                Code::BadWeights,
                "config.json says that the weights are quantized, and none is",
            )
            .in_file(folder)
            .fix("take `quantization_config` out of config.json, and set `quantization`"));
        }
        Ok(files)
    }

    /// Place and form of a tensor.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&TensorSpec> {
        self.tensors.get(name)
    }

    /// How a weight lies in the files where it is quantized.
    #[must_use]
    pub fn stored(&self, weight: &str) -> Option<&Stored> {
        self.quantized.get(weight)
    }

    /// Whether any weight lies quantized.
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        !self.quantized.is_empty()
    }

    /// Checks that the weights can be held as a configuration asks.
    ///
    /// # Errors
    /// [`Code::Contradiction`] when they lie quantized in another form.
    pub fn check_form(&self, asked: Quantization) -> Result<()> {
        let other = |stored: &&Stored| asked != Quantization::None && asked != stored.form();
        let Some(found) = self.quantized.values().find(other) else {
            return Ok(());
        };
        let (asked, found) = (word(asked), word(found.form()));
        Err(Error::new(
            Code::Contradiction,
            format!("`quantization` is {asked}, and the base model is quantized already"),
        )
        .why(format!("its weights lie as {found}"))
        .fix(format!("--set quantization={found}, or leave the key out"))
        .fix("choose a base model with 16-bit or 32-bit weights"))
    }

    /// The bytes of a tensor.
    #[must_use]
    pub fn bytes(&self, spec: &TensorSpec) -> &[u8] {
        self.maps
            .get(spec.file)
            .and_then(|map| map.get(spec.start..spec.start + spec.bytes))
            .unwrap_or_default()
    }

    /// Gives the pages of a tensor that was copied back to the machine. Read again they are as before;
    /// a machine that will not take them loses nothing but memory.
    pub fn release(&self, spec: &TensorSpec) {
        let Some(map) = self.maps.get(spec.file) else {
            return;
        };
        // SAFETY: dropping pages loses what was written to them. This map shows a file and is never written, so its
        // pages come back from there with the same bytes.
        let given = unsafe {
            map.unchecked_advise_range(UncheckedAdvice::DontNeed, spec.start, spec.bytes)
        };
        if let Err(error) = given {
            tracing::debug!(%error, "the machine keeps pages of the base model");
        }
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let broken = |detail: String| {
            Error::new(
                Code::BadWeights,
                "a safetensors file of the base model is broken",
            )
            .in_file(path)
            .why(detail)
            .fix("fetch the file again, it may be cut off")
        };
        let file = File::open(path).map_err(|e| broken(e.to_string()))?;
        // SAFETY: a map must not change while it is borrowed. This one is read only; that nobody changes a base model
        // while it is used is the user's side of the bargain, and its digest is what tells.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| broken(e.to_string()))?;
        // Checks that the offsets are whole, in order and end with the file.
        let tensors = SafeTensors::deserialize(&map).map_err(|e| broken(e.to_string()))?;
        let base = map.as_ptr() as usize;
        for (name, view) in tensors.iter() {
            let spec = TensorSpec {
                file: self.maps.len(),
                start: view.data().as_ptr() as usize - base,
                bytes: view.data().len(),
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
            };
            self.tensors.insert(name.to_owned(), spec);
        }
        self.maps.push(map);
        Ok(())
    }

    fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        let Some(spec) = self.tensors.get(name) else {
            return Err(Error::new(
                Code::MissingTensor,
                format!("the base model lacks the tensor {name}"),
            )
            .why(format!("config.json asks for it with shape {shape:?}"))
            .fix("config.json and the weight files must belong together"));
        };
        if spec.shape != shape {
            return Err(Error::new(
                Code::MissingTensor,
                format!("the tensor {name} has shape {:?}", spec.shape),
            )
            .why(format!("config.json asks for {shape:?}"))
            .fix("config.json and the weight files must belong together"));
        }
        if !matches!(spec.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(Error::new(
                Code::BadWeights,
                format!("the tensor {name} has type {:?}", spec.dtype),
            )
            .why("supported: F32, F16, BF16"));
        }
        Ok(())
    }
}

fn word(form: Quantization) -> &'static str {
    match form {
        Quantization::None => "none",
        Quantization::Nf4 => "nf4",
        Quantization::Int8 => "int8",
    }
}

/// The weight files of a folder in name order.
pub(super) fn weight_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let whole = folder.join(WHOLE);
    if whole.is_file() {
        return Ok(vec![whole]);
    }
    let index = folder.join(INDEX);
    let bytes = std::fs::read(&index).map_err(|e| {
        Error::new(
            Code::BadWeights,
            "the base model has no safetensors weights",
        )
        .in_file(folder)
        .why(format!("neither {WHOLE} nor {INDEX} can be read: {e}"))
        .fix("convert the weights with save_pretrained(..., safe_serialization=True)")
    })?;
    let map = serde_json::from_slice::<Index>(&bytes).map_err(|e| {
        Error::new(Code::BadWeights, format!("{INDEX} cannot be read"))
            .in_file(&index)
            .why(e.to_string())
    })?;
    let names: BTreeSet<&String> = map.weight_map.values().collect();
    let mut paths = Vec::with_capacity(names.len());
    for name in names {
        if Path::new(name).components().count() != 1 {
            return Err(
                Error::new(Code::BadWeights, format!("{INDEX} names {name}"))
                    .in_file(&index)
                    .why("a shard lies beside its index"),
            );
        }
        let path = folder.join(name);
        if !path.is_file() {
            return Err(Error::new(
                Code::MissingShard,
                format!("a weight file of the base model is missing: {name}"),
            )
            .in_file(&index)
            .fix("fetch the missing file into the base model's folder"));
        }
        paths.push(path);
    }
    if paths.is_empty() {
        return Err(Error::new(Code::BadWeights, format!("{INDEX} names no file")).in_file(&index));
    }
    Ok(paths)
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tiny() -> ModelConfig {
        ModelConfig::from_json(
            &json!({"model_type": "llama", "vocab_size": 8, "hidden_size": 4,
            "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2}),
        )
        .unwrap()
    }

    /// Files with zeros of the given tensors.
    fn write(path: &Path, tensors: &[(String, Vec<usize>)]) {
        let data: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, s)| vec![0; 4 * s.iter().product::<usize>()])
            .collect();
        let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
            let view = safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), data);
            (name.as_str(), view.unwrap())
        });
        safetensors::serialize_to_file(views, None, path).unwrap();
    }

    #[test]
    fn every_expected_tensor_is_found_whole_or_in_shards() {
        let expected = expected_tensors(&tiny());
        let whole = tempfile::tempdir().unwrap();
        write(&whole.path().join(WHOLE), &expected);
        let files = WeightFiles::open(whole.path(), &tiny()).unwrap();
        let spec = files.spec("lm_head.weight").unwrap();
        assert_eq!(files.bytes(spec).len(), 8 * 4 * 4);

        let shards = tempfile::tempdir().unwrap();
        let (a, b) = expected.split_at(3);
        write(&shards.path().join("a.safetensors"), a);
        write(&shards.path().join("b.safetensors"), b);
        let place = |list: &[(String, Vec<usize>)], file: &str| {
            list.iter()
                .map(|(n, _)| (n.clone(), json!(file)))
                .collect::<Vec<_>>()
        };
        let map: serde_json::Map<_, _> = place(a, "a.safetensors")
            .into_iter()
            .chain(place(b, "b.safetensors"))
            .collect();
        std::fs::write(
            shards.path().join(INDEX),
            json!({"weight_map": map}).to_string(),
        )
        .unwrap();
        assert!(WeightFiles::open(shards.path(), &tiny()).is_ok());

        std::fs::remove_file(shards.path().join("b.safetensors")).unwrap();
        let error = WeightFiles::open(shards.path(), &tiny()).unwrap_err();
        assert_eq!(error.code, Code::MissingShard);
        assert!(error.what.contains("b.safetensors"));
    }

    #[test]
    fn a_broken_header_a_cut_file_and_no_file_are_bad_weights() {
        let folder = tempfile::tempdir().unwrap();
        let open = || WeightFiles::open(folder.path(), &tiny()).unwrap_err().code;
        assert_eq!(open(), Code::BadWeights);
        let file = folder.path().join(WHOLE);
        std::fs::write(&file, b"not safetensors").unwrap();
        assert_eq!(open(), Code::BadWeights);
        write(&file, &expected_tensors(&tiny()));
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(open(), Code::BadWeights);
    }

    #[test]
    fn a_missing_or_misshaped_tensor_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut tensors = expected_tensors(&tiny());
        let last = tensors.pop().unwrap();
        write(&folder.path().join(WHOLE), &tensors);
        let error = WeightFiles::open(folder.path(), &tiny()).unwrap_err();
        assert_eq!(error.code, Code::MissingTensor);
        assert!(error.what.contains("lm_head.weight"));
        tensors.push((last.0, vec![8, 5]));
        write(&folder.path().join(WHOLE), &tensors);
        let error = WeightFiles::open(folder.path(), &tiny()).unwrap_err();
        assert_eq!(error.code, Code::MissingTensor);
        assert!(error.what.contains("[8, 5]"), "{error:?}");
    }
}
