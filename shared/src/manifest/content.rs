//! What a checkpoint's files hold, as one digest: the one that the members agreed on, or not.
//!
//! In: a group with adapter and optimizer, the canonical order of the keys. Out: the digest of the
//! state in them. Keeps: computed from the bytes that lie there, never from what anybody says of them.
//! Not in it: the pairs that PiSSA took out of the base model, which are no part of the state.

use super::tensors::TensorFile;
use super::{ADAPTER_FILE, Manifest, OPTIMIZER_FILE};
use crate::error::{Code, Error, Result};
use crate::ids::Step;
use crate::numerics::{LossScale, StateHasher};
use crate::storage::Objects;

const FIRST_MOMENT: &str = "exp_avg";
const SECOND_MOMENT: &str = "exp_avg_sq";
const LOSS_SCALE: [&str; 3] = [
    "loss_scale",
    "loss_scale_good_steps",
    "loss_scale_skipped_steps",
];

/// Whether the state of a checkpoint could be computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The state was computed, and it is the one that the manifest names.
    Proved,
    /// The canonical order of the keys is not known: an earlier version wrote this checkpoint.
    Unknown,
}

impl Manifest {
    /// Computes the digest of the state from the files and compares it with the recorded one. `order`
    /// are the keys in canonical order, for manifests that do not hold them. `moved` hears how many
    /// bytes were read, each time some were.
    ///
    /// # Errors
    /// [`Code::DigestDiffers`] when it is another state, or cannot be computed.
    pub fn verify_state(
        &self,
        from: &dyn Objects,
        order: &[String],
        moved: &mut dyn FnMut(u64),
    ) -> Result<Content> {
        let order = if self.parameters.is_empty() {
            order
        } else {
            &self.parameters
        };
        if order.is_empty() {
            return Ok(Content::Unknown);
        }
        let found = recomputed_digest(from, order, moved)?;
        if found == self.state_digest {
            return Ok(Content::Proved);
        }
        Err(Error::new(
            Code::DigestDiffers,
            format!("the files do not hold the state of step {}", self.step),
        )
        .in_file(from.place(""))
        .why(format!(
            "the recorded state digest is {}",
            self.state_digest
        ))
        .why(format!("the files hold a state of digest {found}")))
    }
}

/// The digest of the state that a group's objects hold, as
/// [`state_digest`](crate::numerics::state_digest) computes it in memory.
///
/// # Errors
/// [`Code::DigestDiffers`] when the files are no state of these keys.
pub fn recomputed_digest(
    from: &dyn Objects,
    order: &[String],
    moved: &mut dyn FnMut(u64),
) -> Result<String> {
    let unusable = |file: &str, why: String| {
        Error::new(
            Code::DigestDiffers,
            "the state cannot be computed from the checkpoint's files",
        )
        .in_file(from.place(file))
        .why(why)
    };
    let in_adapter = |why| unusable(ADAPTER_FILE, why);
    let in_optimizer = |why| unusable(OPTIMIZER_FILE, why);
    let mut adapter = TensorFile::open(from, ADAPTER_FILE).map_err(in_adapter)?;
    let mut optimizer = TensorFile::open(from, OPTIMIZER_FILE).map_err(in_optimizer)?;
    let elements = elements(&adapter, order).map_err(in_adapter)?;
    let counters = Counters::read(&optimizer).map_err(in_optimizer)?;
    same_shapes(&adapter, &optimizer, order, counters.tensors()).map_err(in_optimizer)?;
    let mut hasher = StateHasher::new(counters.step, counters.optimizer_steps, elements);
    let mut feed = |file: &mut TensorFile, hasher: &mut StateHasher, key: &str| {
        file.floats(key, |piece| {
            hasher.values(piece);
            moved(piece.len() as u64);
            Ok(())
        })
    };
    for key in order {
        feed(&mut adapter, &mut hasher, key).map_err(in_adapter)?;
    }
    hasher.loss_scale(counters.loss_scale.as_ref());
    for moment in [FIRST_MOMENT, SECOND_MOMENT] {
        for key in order {
            let key = format!("{moment}.{key}");
            feed(&mut optimizer, &mut hasher, &key).map_err(in_optimizer)?;
        }
    }
    Ok(hasher.digest())
}

/// Parameters of all keys; there are no others in the file.
fn elements(adapter: &TensorFile, order: &[String]) -> std::result::Result<u64, String> {
    if adapter.len() != order.len() {
        let (found, expected) = (adapter.len(), order.len());
        return Err(format!("{found} tensors, expected {expected}"));
    }
    let mut all = 0;
    for key in order {
        all += adapter.info(key)?.shape.iter().product::<usize>() as u64;
    }
    Ok(all)
}

/// Two moments of its shape for every parameter, the counters, and nothing else.
fn same_shapes(
    adapter: &TensorFile,
    optimizer: &TensorFile,
    order: &[String],
    counters: usize,
) -> std::result::Result<(), String> {
    let expected = 2 * order.len() + counters;
    if optimizer.len() != expected {
        let found = optimizer.len();
        return Err(format!("{found} tensors, expected {expected}"));
    }
    for key in order {
        for moment in [FIRST_MOMENT, SECOND_MOMENT] {
            let found = optimizer.info(&format!("{moment}.{key}"))?;
            let shape = &adapter.info(key)?.shape;
            if found.shape != *shape {
                return Err(format!(
                    "{moment}.{key} is {:?}, expected {shape:?}",
                    found.shape
                ));
            }
        }
    }
    Ok(())
}

/// What is beside the moments.
struct Counters {
    step: Step,
    optimizer_steps: u64,
    loss_scale: Option<LossScale>,
}

impl Counters {
    fn read(optimizer: &TensorFile) -> std::result::Result<Self, String> {
        let mut loss_scale = None;
        if LOSS_SCALE.iter().any(|key| optimizer.has(key)) {
            let good_steps = optimizer.counter(LOSS_SCALE[1])?;
            loss_scale = Some(LossScale {
                scale: optimizer.counter(LOSS_SCALE[0])?,
                good_steps: u32::try_from(good_steps)
                    .map_err(|_| format!("{} is {good_steps}", LOSS_SCALE[1]))?,
                skipped_steps: optimizer.counter(LOSS_SCALE[2])?,
            });
        }
        Ok(Self {
            step: Step(optimizer.counter("step")?),
            optimizer_steps: optimizer.counter("optimizer_steps")?,
            loss_scale,
        })
    }

    fn tensors(&self) -> usize {
        if self.loss_scale.is_some() { 5 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::samples::{keys, state, write};
    use super::super::{file_digest, verify_adapter};
    use super::*;
    use crate::model::{AdapterShape, AdapterTensor, Part, Role};
    use crate::numerics::{AdapterState, state_digest};
    use crate::storage::Folder;

    fn digest(folder: &Path) -> Result<String> {
        recomputed_digest(&Folder::new(folder), &keys(), &mut |_| ())
    }

    #[test]
    fn files_give_the_digest_that_memory_gives_whatever_the_order_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let plain = state(4);
        let scaled = AdapterState {
            loss_scale: Some(LossScale {
                good_steps: 3,
                skipped_steps: 1,
                ..LossScale::new(1024)
            }),
            ..plain.clone()
        };
        for state in [plain, scaled] {
            write(folder.path(), &state);
            let mut bytes = 0;
            let found =
                recomputed_digest(&Folder::new(folder.path()), &keys(), &mut |n| bytes += n)
                    .unwrap();
            assert_eq!(found, state_digest(&state));
            assert_eq!(bytes, 12 * state.len() as u64);
        }
        let mut turned = keys();
        turned.swap(0, 2);
        let found = recomputed_digest(&Folder::new(folder.path()), &turned, &mut |_| ()).unwrap();
        assert_ne!(found, digest(folder.path()).unwrap());
    }

    #[test]
    fn one_bit_in_any_part_of_the_state_is_seen_although_the_files_are_as_listed() {
        let agreed = state(4);
        let wrong: [fn(&mut AdapterState); 5] = [
            |s| s.params[7] = f32::from_bits(s.params[7].to_bits() ^ 1),
            |s| s.m[0] = f32::from_bits(s.m[0].to_bits() ^ 1),
            |s| s.v[9] = f32::from_bits(s.v[9].to_bits() ^ 1),
            |s| s.step = Step(5),
            |s| s.optimizer_steps += 1,
        ];
        for change in wrong {
            let folder = tempfile::tempdir().unwrap();
            let mut held = agreed.clone();
            change(&mut held);
            write(folder.path(), &held);
            let here = Folder::new(folder.path());
            let files = [ADAPTER_FILE, OPTIMIZER_FILE];
            let manifest = Manifest {
                step: agreed.step,
                state_digest: state_digest(&agreed),
                parameters: keys(),
                files: files.map(|file| file_digest(&here, file).unwrap()).into(),
                ..Manifest::default()
            };
            manifest.verify(&here).unwrap();
            let error = manifest.verify_state(&here, &[], &mut |_| ());
            assert_eq!(error.unwrap_err().code, Code::DigestDiffers);
        }
    }

    #[test]
    fn a_manifest_without_the_order_of_keys_is_proved_by_whoever_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &state(4));
        let manifest = Manifest {
            state_digest: state_digest(&state(4)),
            ..Manifest::default()
        };
        let here = Folder::new(folder.path());
        let verify = |order: &[String]| manifest.verify_state(&here, order, &mut |_| ());
        assert_eq!(verify(&[]).unwrap(), Content::Unknown);
        assert_eq!(verify(&keys()).unwrap(), Content::Proved);
        assert!(!manifest.seal().unwrap().is_empty());
        let text = manifest.text().unwrap();
        assert!(!text.contains("parameters"), "{text}");
    }

    #[test]
    fn files_that_are_no_state_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(digest(folder.path()).is_err());
        write(folder.path(), &state(4));
        let adapter = folder.path().join(ADAPTER_FILE);
        let whole = std::fs::read(&adapter).unwrap();
        for length in [0, 7, 60, whole.len() - 1] {
            std::fs::write(&adapter, &whole[..length]).unwrap();
            assert!(digest(folder.path()).is_err(), "{length}");
            assert!(
                verify_adapter(&Folder::new(folder.path()), ADAPTER_FILE, &[]).is_err(),
                "{length}"
            );
        }
        std::fs::write(&adapter, &whole).unwrap();
        digest(folder.path()).unwrap();
        std::fs::copy(&adapter, folder.path().join(OPTIMIZER_FILE)).unwrap();
        assert!(digest(folder.path()).is_err());
    }

    #[test]
    fn what_is_expected_of_an_adapter_stands_in_the_order_of_its_flat_vector() {
        let tensor = |key: &str| AdapterTensor {
            key: key.into(),
            shape: vec![1],
            module: String::new(),
            part: Part::Layer(0),
            role: Role::LoraA,
        };
        // The worker lays its vector out in the order of these tensors.
        let shape = AdapterShape {
            tensors: keys().iter().map(|key| tensor(key)).collect(),
            adapted: Vec::new(),
        };
        let expected: Vec<_> = shape.expected().into_iter().map(|t| t.key).collect();
        assert_eq!(expected, keys());
    }

    /// Workers and files say the names, so they may say anything.
    #[test]
    fn a_file_outside_the_checkpoint_is_none_of_its_own_however_right_its_digest() {
        let output = tempfile::tempdir().unwrap();
        let folder = output.path().join("checkpoint-5");
        std::fs::create_dir_all(folder.join("in")).unwrap();
        for path in [
            output.path().join("other"),
            folder.join("in/other"),
            folder.join("own"),
        ] {
            std::fs::write(path, "bytes").unwrap();
        }
        let objects = Folder::new(&folder);
        let verified = |name: &str| {
            let listed = super::super::FileDigest {
                name: name.to_owned(),
                ..file_digest(&objects, "own").unwrap()
            };
            let manifest = Manifest {
                files: vec![listed],
                ..Manifest::default()
            };
            manifest.verify(&objects).map_err(|error| error.code)
        };
        assert_eq!(verified("own"), Ok(()));
        let absolute = output.path().join("other");
        for name in [
            "../other",
            "in/other",
            absolute.to_str().unwrap(),
            "..",
            ".",
        ] {
            assert_eq!(verified(name), Err(Code::DigestDiffers), "{name}");
        }
    }

    #[test]
    fn checkpoints_that_cannot_be_listed_are_not_called_none() {
        let output = tempfile::tempdir().unwrap();
        let none = Folder::new(output.path().join("none"));
        assert!(super::super::checkpoints(&none).unwrap().is_empty());
        std::fs::write(output.path().join("file"), "").unwrap();
        let unlisted = Folder::new(output.path().join("file"));
        let error = super::super::checkpoints(&unlisted).unwrap_err();
        assert_eq!(error.code, Code::Io);
    }
}
