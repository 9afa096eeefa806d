//! How far a walk is, for people who wait for it.

/// Samples and bytes that are done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Samples done, those of an interrupted preparation too.
    pub samples: u64,
    /// Samples that an interrupted preparation had done.
    pub resumed: u64,
    /// Bytes of the files that were read.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Nothing is left to do.
    pub done: bool,
}
