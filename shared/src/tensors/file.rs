//! Safetensors with the same bytes every time, and a strict reader.
//!
//! In: named f32 slices and counters. Out: one file's bytes: header exactly `{"format":"pt"}`,
//! tensors by name. The reader takes each tensor once, checks shape, type and finiteness, and at the
//! end nothing may be left.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo, View};
use safetensors::{Dtype, SafeTensors};

/// Bytes that are written between two signs of progress.
const PART: usize = 32 << 20;

/// Tensors on their way into a file.
#[derive(Default)]
pub struct Writer<'a>(Vec<(String, Tensor<'a>)>);

struct Tensor<'a> {
    shape: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Floats(&'a [f32]),
    Counter(i64),
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::Floats(_) => Dtype::F32,
            Values::Counter(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.values {
            Values::Counter(value) => Cow::Owned(value.to_le_bytes().to_vec()),
            Values::Floats(values) => {
                let mut bytes = vec![0; 4 * values.len()];
                for (place, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                    *place = value.to_le_bytes();
                }
                Cow::Owned(bytes)
            }
        }
    }

    fn data_len(&self) -> usize {
        match self.values {
            Values::Floats(values) => 4 * values.len(),
            Values::Counter(_) => 8,
        }
    }
}

impl<'a> Writer<'a> {
    /// Adds a tensor.
    ///
    /// # Errors
    /// A shape of another number of values, and a value that is not finite.
    pub fn floats(
        &mut self,
        key: String,
        shape: &[usize],
        values: &'a [f32],
    ) -> Result<(), String> {
        if shape.iter().product::<usize>() != values.len() {
            return Err(format!(
                "{key} has {} values for shape {shape:?}",
                values.len()
            ));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(format!("{key} holds a value that is not finite"));
        }
        self.0.push((
            key,
            Tensor {
                shape: shape.to_vec(),
                values: Values::Floats(values),
            },
        ));
        Ok(())
    }

    /// Adds a counter as a tensor of one i64.
    ///
    /// # Errors
    /// A value beyond 2^63.
    pub fn counter(&mut self, key: &str, value: u64) -> Result<(), String> {
        let value = i64::try_from(value).map_err(|_| format!("{key} is {value}, beyond 2^63"))?;
        self.0.push((
            key.to_owned(),
            Tensor {
                shape: vec![1],
                values: Values::Counter(value),
            },
        ));
        Ok(())
    }

    /// Writes the file to the disk, tensor by tensor: the same bytes as [`Self::bytes`], without all of them in memory.
    /// What is there after an error is no file. `stored` hears of bytes that the disk has: what only waits in the
    /// machine's memory has moved nowhere.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_to(self, path: &Path, mut stored: impl FnMut(u64)) -> std::io::Result<()> {
        let mut tensors = self.0;
        tensors.sort_by(|(a, left), (b, right)| {
            right.dtype().cmp(&left.dtype()).then_with(|| a.cmp(b))
        });
        let mut end = 0;
        let place = |(name, tensor): &(String, Tensor<'_>)| {
            let start = end;
            end += tensor.data_len();
            let info = TensorInfo {
                dtype: tensor.dtype(),
                shape: tensor.shape.clone(),
                data_offsets: (start, end),
            };
            (name.clone(), info)
        };
        let infos = tensors.iter().map(place).collect();
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let metadata = Metadata::new(Some(format), infos).map_err(std::io::Error::other)?;
        let mut header = serde_json::to_vec(&metadata)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        let mut unsynced = 8 + header.len();
        for (_, tensor) in &tensors {
            for part in tensor.data().chunks(PART) {
                file.write_all(part)?;
                unsynced += part.len();
                if unsynced >= PART {
                    file.flush()?;
                    file.get_ref().sync_data()?;
                    stored(std::mem::take(&mut unsynced) as u64);
                }
            }
        }
        file.into_inner()?.sync_all()?;
        stored(unsynced as u64);
        Ok(())
    }

    /// All bytes of the file, in memory.
    ///
    /// # Errors
    /// A name that comes twice.
    pub fn bytes(self) -> Result<Vec<u8>, String> {
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(self.0, Some(format)).map_err(|e| e.to_string())
    }
}

/// A file being read.
pub struct Reader<'a> {
    file: SafeTensors<'a>,
    left: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// A file's tensors, from its bytes.
    ///
    /// # Errors
    /// Bytes that are no safetensors file.
    pub fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let left = file.names().into_iter().map(ToOwned::to_owned).collect();
        Ok(Self { file, left })
    }

    /// Values of a one-dimensional tensor of any length.
    ///
    /// # Errors
    /// As [`Self::floats`].
    pub fn vector(&mut self, key: &str) -> Result<Vec<f32>, String> {
        let elements = self.shape(key)?.iter().product();
        let mut values = vec![0.0; elements];
        self.floats(key, &[elements], &mut values)?;
        Ok(values)
    }

    /// Reads a tensor of this shape.
    ///
    /// # Errors
    /// A tensor that is missing, of another type or shape, or not finite.
    pub fn floats(&mut self, key: &str, shape: &[usize], into: &mut [f32]) -> Result<(), String> {
        let bytes = self.take(key, Dtype::F32, shape)?;
        for (place, value) in into.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *place = f32::from_le_bytes(*value);
        }
        if into.iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(format!("{key} holds a value that is not finite"))
        }
    }

    /// Reads a counter.
    ///
    /// # Errors
    /// One that is missing or negative.
    pub fn counter(&mut self, key: &str) -> Result<u64, String> {
        let bytes = self.take(key, Dtype::I64, &[1])?;
        let value = bytes.first_chunk().map(|bytes| i64::from_le_bytes(*bytes));
        value
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| format!("{key} is not a counter"))
    }

    /// Whether the file has this key and nobody has read it yet.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.left.contains(key)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// A tensor of the file was not read.
    pub fn finish(self) -> Result<(), String> {
        match self.left.first() {
            None => Ok(()),
            Some(key) => Err(format!(
                "{} tensors too many, such as {key}",
                self.left.len()
            )),
        }
    }

    fn shape(&self, key: &str) -> Result<Vec<usize>, String> {
        let tensor = self
            .file
            .tensor(key)
            .map_err(|_| format!("{key} is missing"))?;
        Ok(tensor.shape().to_vec())
    }

    fn take(&mut self, key: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8], String> {
        let tensor = self
            .file
            .tensor(key)
            .map_err(|_| format!("{key} is missing"))?;
        if tensor.dtype() != dtype || tensor.shape() != shape {
            return Err(format!(
                "{key} is {:?} {:?}, expected {dtype:?} {shape:?}",
                tensor.dtype(),
                tensor.shape()
            ));
        }
        self.left.remove(key);
        Ok(tensor.data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_written_tensor_by_tensor_has_the_bytes_of_the_whole() {
        let values: Vec<f32> = (0..70_000).map(|i| i as f32 / 7.0).collect();
        let writer = || {
            let mut writer = Writer::default();
            writer.floats("b".into(), &[7, 10_000], &values).unwrap();
            writer.counter("z", 41).unwrap();
            writer.floats("a".into(), &[5], &values[..5]).unwrap();
            writer.counter("y", 7).unwrap();
            writer
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        writer().write_to(&path, |_| {}).unwrap();
        assert!(std::fs::read(&path).unwrap() == writer().bytes().unwrap());
        let nowhere = folder.path().join("none/x.safetensors");
        assert!(writer().write_to(&nowhere, |_| {}).is_err());
    }
}
