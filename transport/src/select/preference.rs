//! Which transports may be taken, and in which order.

use crate::endpoint::TransportKind;
use serde::{Serialize, Serializer};
use std::fmt;

/// The variable of the environment that forces transports: names, with commas between them.
pub const VARIABLE: &str = "MASER_TRANSPORT";

/// Transports, the one that is preferred first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    kinds: Vec<TransportKind>,
    is_forced: bool,
}

/// What is wrong with a list of transports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPreference {
    /// There is no such transport, or none between processes.
    #[error("{VARIABLE} names '{name}', which is no transport between processes; take of {}", names(&Preference::ORDER))]
    Unknown {
        /// What stands there.
        name: String,
    },
    /// A transport stands there twice.
    #[error("{VARIABLE} names {kind} twice; name it once, where it is to be tried")]
    Twice {
        /// Which.
        kind: TransportKind,
    },
    /// It has no names.
    #[error("{VARIABLE} is set and names no transport; unset it, or take of {}", names(&Preference::ORDER))]
    Empty,
}

fn names(kinds: &[TransportKind]) -> String {
    let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}

impl Preference {
    /// The order of nearness: shared memory, then the network card, then whatever UCX finds, then TCP,
    /// which is everywhere.
    pub const ORDER: [TransportKind; 4] = [
        TransportKind::Sm,
        TransportKind::Rdma,
        TransportKind::Ucx,
        TransportKind::Tcp,
    ];

    /// These alone, in their order: one that is not there is an error.
    ///
    /// # Errors
    /// [`BadPreference`].
    pub fn forced(names: &str) -> Result<Self, BadPreference> {
        let mut kinds = Vec::new();
        for name in names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            let kind = Self::ORDER.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| BadPreference::Unknown { name: name.into() })?;
            if kinds.contains(&kind) {
                return Err(BadPreference::Twice { kind });
            }
            kinds.push(kind);
        }
        match kinds.is_empty() {
            true => Err(BadPreference::Empty),
            false => Ok(Self {
                kinds,
                is_forced: true,
            }),
        }
    }

    /// What the environment says, which `look` looks into; the usual order if it says nothing.
    ///
    /// # Errors
    /// [`BadPreference`].
    pub fn from_environment(
        look: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Self, BadPreference> {
        look(VARIABLE).map_or_else(|| Ok(Self::default()), |names| Self::forced(&names))
    }

    /// The transports, the one that is preferred first.
    #[must_use]
    pub fn kinds(&self) -> &[TransportKind] {
        &self.kinds
    }

    /// Whether somebody asked for these and no others.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.is_forced
    }
}

impl Default for Preference {
    fn default() -> Self {
        Self {
            kinds: Self::ORDER.into(),
            is_forced: false,
        }
    }
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&names(&self.kinds))
    }
}

impl Serialize for Preference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.kinds.iter().map(|kind| kind.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_in_its_order() {
        let preference = Preference::from_environment(|name| {
            assert_eq!(name, "MASER_TRANSPORT");
            Some(" tcp, sm,".into())
        });
        let preference = preference.expect("two transports");
        assert_eq!(preference.kinds(), [TransportKind::Tcp, TransportKind::Sm]);
        assert!(preference.is_forced());
        let usual = Preference::from_environment(|_| None).expect("nothing is wrong");
        assert_eq!(
            (usual.kinds(), usual.is_forced()),
            (&Preference::ORDER[..], false)
        );
    }

    #[test]
    fn what_is_wrong_names_the_variable_and_what_there_is() {
        for (names, wanted) in [
            ("infiniband", "'infiniband'"),
            ("tcp,loopback", "'loopback'"),
            ("sm,tcp,sm", "sm twice"),
            (" , ", "names no transport"),
        ] {
            let text = Preference::forced(names).expect_err(names).to_string();
            assert!(
                text.contains("MASER_TRANSPORT") && text.contains(wanted),
                "{text}"
            );
        }
        let text = Preference::forced("x").expect_err("none").to_string();
        assert!(text.ends_with("sm, rdma, ucx, tcp"), "{text}");
    }
}
