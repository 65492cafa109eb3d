//! What is wrong with a configuration.

use std::fmt;

/// A knob has a value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value} ({origin}): {problem}; {remedy}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The knob, by the name of its setter.
    pub field: String,
    /// The value as it was given.
    pub value: String,
    /// Who gave it.
    pub origin: Origin,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// Who gave a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program, through [`Config`](super::Config).
    Builder,
    /// This environment variable.
    Env(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Builder => f.write_str("set by the program"),
            Origin::Env(name) => write!(f, "from {name}"),
        }
    }
}
