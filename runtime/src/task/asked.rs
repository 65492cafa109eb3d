//! Options of tasks as bytes: of a task that another process is asked to run.
//!
//! - AO-1 bytes of a peer are input. A type of errors comes as its name and is looked up among those
//!   that the program's functions return; one that is not there matches no error.

use super::options::TaskOptions;
use super::retry::{ErrorKind, RetryErrors};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum Errors {
    Never,
    All,
    Types(Vec<String>),
}

#[derive(Serialize, Deserialize)]
struct Asked {
    num_cpus: Option<f64>,
    num_gpus: Option<f64>,
    resources: Vec<(String, f64)>,
    max_retries: Option<i32>,
    max_calls: Option<u32>,
    name: Option<String>,
    scheduler: Option<u64>,
    errors: Option<Errors>,
}

impl TaskOptions {
    /// Whether nothing is said in them.
    pub(crate) fn are_default(&self) -> bool {
        let Self {
            num_cpus: None,
            num_gpus: None,
            resources,
            max_retries: None,
            max_calls: None,
            name: None,
            scheduler: None,
            retry_errors: None,
            is_stream: _,
        } = self
        else {
            return false;
        };
        resources.is_empty()
    }

    /// Appends them to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let errors = self.retry_errors.as_ref().map(|errors| match errors {
            RetryErrors::Never => Errors::Never,
            RetryErrors::All => Errors::All,
            RetryErrors::Types(types) => Errors::Types(
                types
                    .iter()
                    .map(ErrorKind::name)
                    .map(str::to_owned)
                    .collect(),
            ),
        });
        let asked = Asked {
            num_cpus: self.num_cpus,
            num_gpus: self.num_gpus,
            resources: self.resources.clone(),
            max_retries: self.max_retries,
            max_calls: self.max_calls,
            name: self.name.clone(),
            scheduler: self.scheduler.map(|index| index as u64),
            errors,
        };
        // Numbers and texts can be written.
        if let Ok(written) = postcard::to_extend(&asked, std::mem::take(bytes)) {
            *bytes = written;
        }
    }

    /// Takes what [`encode`](Self::encode) wrote off the front of `bytes`.
    ///
    /// # Errors
    /// [`Error::NotPortable`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, &[u8])> {
        let (asked, rest) =
            postcard::take_from_bytes::<Asked>(bytes).map_err(|error| Error::NotPortable {
                function: "a task".into(),
                value: "its options".into(),
                problem: error.to_string(),
            })?;
        let errors = asked.errors.map(|errors| match errors {
            Errors::Never => RetryErrors::Never,
            Errors::All => RetryErrors::All,
            Errors::Types(names) => {
                RetryErrors::Types(names.into_iter().map(ErrorKind::named).collect())
            }
        });
        let options = Self {
            num_cpus: asked.num_cpus,
            num_gpus: asked.num_gpus,
            resources: asked.resources,
            max_retries: asked.max_retries,
            max_calls: asked.max_calls,
            name: asked.name,
            scheduler: asked
                .scheduler
                .map(|index| usize::try_from(index).unwrap_or(usize::MAX)),
            retry_errors: errors,
            is_stream: false,
        };
        Ok((options, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_out_as_they_went_in_and_leave_what_follows() {
        let errors = RetryErrors::of::<std::fmt::Error>();
        let options = TaskOptions::default()
            .num_cpus(2)
            .num_gpus(0.5)
            .resource("disk", 3)
            .max_retries(-1)
            .max_calls(7)
            .name("named")
            .scheduler(3)
            .retry_errors(errors);
        assert!(!options.are_default());
        let mut bytes = Vec::new();
        options.encode(&mut bytes);
        bytes.extend(b"rest");
        let (came, rest) = TaskOptions::decode(&bytes).unwrap();
        assert_eq!(rest, b"rest");
        assert_eq!(format!("{came:?}"), format!("{options:?}"));
        let plain = TaskOptions::default();
        let mut bytes = Vec::new();
        plain.encode(&mut bytes);
        let (came, rest) = TaskOptions::decode(&bytes).unwrap();
        assert!(came.are_default() && rest.is_empty());
    }

    #[test]
    fn bytes_that_are_no_options_are_refused() {
        let mut bytes = Vec::new();
        TaskOptions::default().name("n").encode(&mut bytes);
        for length in 0..bytes.len() {
            assert!(TaskOptions::decode(&bytes[..length]).is_err());
        }
    }
}
