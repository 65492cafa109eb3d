//! What can be wrong with a recording.

use std::io;
use std::path::{Path, PathBuf};

/// Why a graph cannot be recorded or replayed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The graph is not watched.
    #[error(
        "the graph was compiled without recording, so its steps are not watched; compile it with CompileOptions {{ record: Some(Record::later()), .. }}"
    )]
    NotWatched,
    /// There is nothing to stop.
    #[error("the graph is not being recorded; begin with CompiledGraph::record")]
    NotRecording,
    /// Another recording or replay of this graph is under way.
    #[error("{what} of this graph is under way; {remedy}")]
    Busy {
        /// `a recording` or `a replay`.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Values of a node cannot be encoded.
    #[error("graph node {node} cannot be recorded: {problem}; {remedy}")]
    NotEncodable {
        /// The node, `#index function`.
        node: String,
        /// Why not.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The system refused to read or write.
    #[error("cannot {action} the recording {path:?}: {problem}; {remedy}")]
    Io {
        /// `read`, `write` or `make`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The file does not begin as a recording does.
    #[error("{what} is no recording: it begins with other bytes; name a file that Record::to made")]
    NotARecording {
        /// The file.
        what: String,
    },
    /// The file was made by another version of the format.
    #[error(
        "{what} is a recording of version {found}, and version {known} is read here; replay it with the maser that made it"
    )]
    OtherVersion {
        /// The file.
        what: String,
        /// Its version.
        found: u32,
        /// The only one that is known.
        known: u32,
    },
    /// The file ends before its first run.
    #[error("{what} ends within its first {bytes} bytes, before any run; record again")]
    NothingInIt {
        /// The file.
        what: String,
        /// How long it is.
        bytes: u64,
    },
    /// A checksum is wrong.
    #[error(
        "{what} is damaged: the checksum of record {record} (at byte {offset}) is wrong; take another copy of the file"
    )]
    Damaged {
        /// The file.
        what: String,
        /// Which record; 0 is the head of the file.
        record: u64,
        /// Where it begins.
        offset: u64,
    },
    /// A record has a right checksum and makes no sense.
    #[error("{what}: record {record} makes no sense: {problem}; take another copy of the file")]
    Senseless {
        /// The file.
        what: String,
        /// Which record; 0 is the head of the file.
        record: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// It is a recording of another graph.
    #[error(
        "{what} is a recording of another graph: {differences}; replay it with the graph that it was made of"
    )]
    OtherGraph {
        /// The file.
        what: String,
        /// What is different, each step by its label.
        differences: String,
    },
    /// An input cannot be decoded.
    #[error(
        "input {input} of run {run} cannot be decoded: {problem}; replay it with the types that it was made of"
    )]
    NotDecodable {
        /// The run.
        run: u64,
        /// Which of its inputs.
        input: usize,
        /// What the decoder said.
        problem: String,
    },
}

impl RecordError {
    pub(crate) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room on the disk, or record to another one"
            }
            io::ErrorKind::FileTooLarge => "raise the limit of file sizes, or record fewer runs",
            io::ErrorKind::NotFound => "name a file in a directory that exists",
            _ => "name a regular file that may be read and written",
        };
        Self::Io {
            action,
            path: path.to_owned(),
            problem: error.to_string(),
            remedy,
        }
    }
}
