//! The codes and the exit code of each.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a process ends; documented in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The run is complete.
    Complete = 0,
    /// An unexpected error: reading or writing failed, or the program has a bug.
    Unexpected = 1,
    /// Usage, configuration or version is wrong.
    Config = 2,
    /// The data cannot be read, understood or used.
    Data = 3,
    /// The run does not fit in memory.
    Memory = 4,
    /// Cluster unreachable, evicted, port in use.
    Cluster = 5,
    /// Drained or interrupted, the state is safe.
    Interrupted = 6,
    /// A digest or an export did not verify.
    Verification = 7,
}

impl ExitCode {
    /// The code a process ended with; unknown ones are unexpected.
    #[must_use]
    pub const fn from_code(code: i32) -> Self {
        match code {
            0 => Self::Complete,
            2 => Self::Config,
            3 => Self::Data,
            4 => Self::Memory,
            5 => Self::Cluster,
            6 => Self::Interrupted,
            7 => Self::Verification,
            _ => Self::Unexpected,
        }
    }
}

macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $text:literal => $exit:ident,)*) => {
        /// Stable names of failures. `E01` configuration, `E02` base model, `E03` data,
        /// `E04` device and memory, `E05` cluster, `E06` output and checkpoints,
        /// `E07` verification, `E09` everything else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $doc] #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The text, such as `E0102`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc.trim_ascii(),)* }
            }

            /// The exit code.
            #[must_use]
            pub const fn exit_code(self) -> ExitCode {
                match self { $(Self::$name => ExitCode::$exit,)* }
            }
        }
    };
}

codes! {
    /// A required key is missing.
    MissingKey = "E0101" => Config,
    /// A key nobody knows.
    UnknownKey = "E0102" => Config,
    /// A value of the wrong type.
    WrongType = "E0103" => Config,
    /// A value out of its range.
    OutOfRange = "E0104" => Config,
    /// Two keys that contradict each other.
    Contradiction = "E0105" => Config,
    /// The file is not YAML.
    BadYaml = "E0106" => Config,
    /// Understood, but not built yet.
    NotYet = "E0107" => Config,
    /// A file or folder named in the configuration is not there.
    MissingPath = "E0108" => Config,
    /// The command line is wrong.
    Usage = "E0109" => Config,
    /// Coordinator and worker are of different versions.
    VersionMismatch = "E0110" => Config,

    /// The architecture is not supported.
    UnsupportedArchitecture = "E0201" => Config,
    /// config.json cannot be used.
    BadModelConfig = "E0202" => Config,
    /// No tokenizer in the base model's folder.
    NoTokenizer = "E0203" => Config,
    /// A tokenizer or template that cannot be used.
    BadTokenizer = "E0204" => Config,
    /// A safetensors file that cannot be read.
    BadWeights = "E0205" => Config,
    /// A shard named in the index is missing.
    MissingShard = "E0206" => Config,
    /// A tensor the architecture needs is missing or has another shape.
    MissingTensor = "E0207" => Config,
    /// `target_modules` match nothing.
    NoTargetModule = "E0208" => Config,
    /// The rank is larger than the matrix.
    RankTooLarge = "E0209" => Config,
    /// A folder holds no adapter that fits: `init_adapter`, or `--adapter` of an unfinished run, whose checkpoints hold theirs.
    BadInitAdapter = "E0210" => Config,

    /// No sample anywhere.
    EmptyData = "E0301" => Data,
    /// Text that is not UTF-8.
    Undecodable = "E0302" => Data,
    /// A dialogue without roles.
    NoRoles = "E0303" => Data,
    /// A line that is not JSON.
    MalformedJson = "E0304" => Data,
    /// A table that cannot be read.
    MalformedCsv = "E0305" => Data,
    /// A form nobody knows.
    UnknownForm = "E0306" => Data,
    /// The chat template refuses a conversation.
    TemplateRefused = "E0307" => Data,
    /// Rows longer than `max_seq_length` under `overflow: error`.
    TooLong = "E0308" => Data,
    /// A compressed file that cannot be unpacked.
    Unpackable = "E0309" => Data,
    /// A file that could be read in two ways.
    Ambiguous = "E0310" => Data,
    /// A mark of what is to be learned (`weight`, `train`, `loss` ...) that cannot be obeyed.
    BadWeight = "E0312" => Data,
    /// An answer that ends without a special token: the model would not learn to stop.
    NoStopToken = "E0313" => Data,
    /// Samples that come as tokens and do not fit together.
    BadTokens = "E0314" => Data,
    /// `privacy: mask` and samples that come as tokens.
    TokensNotMasked = "E0315" => Data,
    /// A data file that cannot be read, however often one tries: a link to nothing, a folder that nobody may open.
    Unreadable = "E0316" => Data,
    /// Rows without a token to learn from, as a question without an answer.
    NothingToLearn = "E0317" => Data,
    /// Preference data: answers that are called better and worse.
    Preference = "E0319" => Data,
    /// A chat template that leaves out what an answer is made of: its thought, its calls, its text.
    LeftOut = "E0321" => Data,

    /// The device asked for is not there.
    NoDevice = "E0401" => Config,
    /// Not enough memory.
    OutOfMemory = "E0402" => Memory,
    /// Config and command line name different devices.
    DeviceContradiction = "E0403" => Config,
    /// libtorch cannot be used.
    NoLibtorch = "E0404" => Config,

    /// The port is in use.
    PortInUse = "E0501" => Cluster,
    /// The coordinator or a peer cannot be reached.
    Unreachable = "E0502" => Cluster,
    /// The base model differs from the coordinator's.
    BaseModelDiffers = "E0503" => Config,
    /// The session was ended by the other side.
    SessionLost = "E0504" => Cluster,
    /// A listener would be open to the network.
    NotLoopback = "E0505" => Config,
    /// Evicted by the coordinator.
    Evicted = "E0506" => Cluster,
    /// Replicas disagree.
    ReplicasDisagree = "E0507" => Verification,
    /// A worker failed and the run cannot go on.
    WorkerFailed = "E0508" => Cluster,
    /// No worker came in time.
    NoWorkers = "E0509" => Cluster,
    /// A worker of another device class, and `device_class` is strict.
    DeviceClassDiffers = "E0510" => Config,
    /// A joining worker could not take the state from anybody.
    SyncFailed = "E0511" => Cluster,
    /// A worker computes something else than others from the same micro-batch.
    WrongCompute = "E0512" => Verification,
    /// A worker holds corrupt numbers.
    Corrupt = "E0513" => Verification,

    /// The output folder cannot be written.
    Unwritable = "E0601" => Config,
    /// Another coordinator holds the output folder.
    Locked = "E0602" => Config,
    /// The folder holds a run of another identity.
    OtherRun = "E0603" => Config,
    /// The folder holds a finished run.
    AlreadyComplete = "E0604" => Config,
    /// No usable checkpoint.
    NoCheckpoint = "E0605" => Config,
    /// Interrupted, the state is safe.
    Interrupted = "E0606" => Interrupted,
    /// The ledger was written by a newer version.
    LedgerUnknown = "E0607" => Config,
    /// The ledger cannot be written: the disk is full or refuses.
    LedgerUnwritable = "E0608" => Unexpected,
    /// The folder holds no ledger.
    NoLedger = "E0609" => Config,
    /// The parent's weights do not fit the configuration.
    ParentDiffers = "E0610" => Config,

    /// Written files do not read back as written.
    ExportDiffers = "E0701" => Verification,
    /// A digest differs.
    DigestDiffers = "E0702" => Verification,
    /// A gradient or loss is not finite.
    NotFinite = "E0703" => Verification,
    /// The ledger's chain is broken: a line was altered, taken out or put in.
    LedgerBroken = "E0704" => Verification,
    /// The ledger's lines contradict each other, the plan or the files beside it.
    LedgerContradiction = "E0705" => Verification,
    /// A step that was computed again came out differently.
    ReplayDiffers = "E0706" => Verification,

    /// Reading or writing failed.
    Io = "E0901" => Unexpected,
    /// A bug.
    Internal = "E0902" => Unexpected,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
