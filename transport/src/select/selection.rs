//! Which transport a pair of ends uses, and why.
//!
//! - XC-1 the decision is a function of what both offer and of the preference: the first transport of the
//!   preference that is open here, that the peer offers, and that reaches it. One that cannot be connected
//!   gives way to the next, and what it said is kept.

use super::host::Host;
use super::offer::Offer;
use super::preference::{Preference, VARIABLE};
use crate::capabilities::Capabilities;
use crate::endpoint::{Address, TransportKind};
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;

/// What became of one transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is used.
    Chosen,
    /// It could be used, and another comes before it.
    Spare,
    /// It cannot be used.
    Excluded,
    /// It was tried.
    Failed,
}

/// One transport, what became of it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Which.
    #[serde(serialize_with = "by_name")]
    pub kind: TransportKind,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// Which transport a pair of ends uses, and why not the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Whether the peer is on this host.
    pub is_same_host: bool,
    /// The transports of the preference in their order, then the others.
    pub candidates: Vec<Candidate>,
}

pub(super) fn by_name<S: Serializer>(
    kind: &TransportKind,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

/// What this end has of one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which.
    pub kind: TransportKind,
    /// What it can do, or why it is not open.
    pub outcome: Result<Capabilities, String>,
}

impl Selection {
    /// Decides (XC-1).
    #[must_use]
    pub fn decide(opened: &[Opened], here: &Host, offer: &Offer, preference: &Preference) -> Self {
        let left_out = Preference::ORDER
            .into_iter()
            .filter(|kind| !preference.kinds().contains(kind));
        let mut is_chosen = false;
        let mut candidate = |kind: TransportKind| {
            let why_not = why_not(kind, opened, here, offer, preference);
            let (verdict, reason) = match why_not {
                Some(reason) => (Verdict::Excluded, reason),
                None if is_chosen => (Verdict::Spare, "another is preferred".into()),
                None => {
                    is_chosen = true;
                    (Verdict::Chosen, why(kind, preference))
                }
            };
            Candidate {
                kind,
                verdict,
                reason,
            }
        };
        let all = preference.kinds().iter().copied().chain(left_out);
        Self {
            is_same_host: here.boot == offer.host.boot,
            candidates: all.map(&mut candidate).collect(),
        }
    }

    /// The transport that is used, if there is one.
    #[must_use]
    pub fn chosen(&self) -> Option<TransportKind> {
        let chosen = |one: &&Candidate| one.verdict == Verdict::Chosen;
        self.candidates.iter().find(chosen).map(|one| one.kind)
    }

    /// The one that was chosen could not be connected: the next is chosen, if there is one.
    pub fn failed(&mut self, reason: &str) {
        let mut candidates = self.candidates.iter_mut();
        let Some(failed) = candidates.find(|one| one.verdict == Verdict::Chosen) else {
            return;
        };
        let kind = failed.kind;
        (failed.verdict, failed.reason) = (Verdict::Failed, reason.into());
        if let Some(next) = candidates.find(|one| one.verdict == Verdict::Spare) {
            next.verdict = Verdict::Chosen;
            next.reason = format!("{kind} could not be connected");
        }
    }
}

/// Why a transport is taken.
fn why(kind: TransportKind, preference: &Preference) -> String {
    if preference.is_forced() {
        return format!("{VARIABLE} asks for it");
    }
    match kind {
        TransportKind::Sm => "the peer is on this host",
        TransportKind::Rdma => "both have a device",
        TransportKind::Ucx => "both have the library",
        _ => "it is everywhere",
    }
    .into()
}

/// Why a transport cannot be taken, if it cannot.
fn why_not(
    kind: TransportKind,
    opened: &[Opened],
    here: &Host,
    offer: &Offer,
    preference: &Preference,
) -> Option<String> {
    if !preference.kinds().contains(&kind) {
        return Some(format!("{VARIABLE} asks for {preference}"));
    }
    match opened.iter().find(|one| one.kind == kind) {
        None => return Some("it was not asked for here".into()),
        Some(Opened {
            outcome: Err(reason),
            ..
        }) => return Some(reason.clone()),
        Some(_) => {}
    }
    let Some(way) = offer.way(kind) else {
        return Some("the peer does not offer it".into());
    };
    if kind == TransportKind::Sm {
        return here.why_not_shared(&offer.host).map(Into::into);
    }
    let reaches_host_only = is_loopback(&way.address);
    (reaches_host_only && here.boot != offer.host.boot).then(|| {
        "the peer is on another host and listens on a loopback address; give the job's secret, and an \
         address that others reach"
            .into()
    })
}

/// Whether an address of sockets is one that nobody else reaches.
fn is_loopback(address: &Address) -> bool {
    let text = std::str::from_utf8(address.bytes()).ok();
    let parsed = text.and_then(|text| text.parse::<SocketAddr>().ok());
    parsed.is_some_and(|parsed| parsed.ip().is_loopback())
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chosen() {
            Some(kind) => write!(f, "{kind}")?,
            None => f.write_str("no transport")?,
        }
        for one in &self.candidates {
            let what = match one.verdict {
                Verdict::Chosen => "chosen",
                Verdict::Spare => "spare",
                Verdict::Excluded => "not",
                Verdict::Failed => "failed",
            };
            write!(f, "\n  {:<5} {what:<7} {}", one.kind.name(), one.reason)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::Way;

    const HERE: Host = Host {
        boot: 1,
        network: 1,
        user: 1,
    };

    fn opened() -> Vec<Opened> {
        let capabilities = Capabilities::EVENTS;
        let there = |kind| Opened {
            kind,
            outcome: Ok(capabilities),
        };
        let rdma = Opened {
            kind: TransportKind::Rdma,
            outcome: Err("no device".into()),
        };
        vec![there(TransportKind::Sm), rdma, there(TransportKind::Tcp)]
    }

    fn offer(host: Host, address: &'static str) -> Offer {
        let way = |kind, text: &'static str| Way {
            address: Address::new(kind, text).expect("short"),
            capabilities: Capabilities::EVENTS,
        };
        let ways = [
            way(TransportKind::Tcp, address),
            way(TransportKind::Rdma, address),
            way(TransportKind::Sm, "maser-sm-1"),
        ];
        Offer {
            host,
            ways: ways.into(),
        }
    }

    fn reason(selection: &Selection, kind: TransportKind) -> &str {
        let mut all = selection.candidates.iter();
        &all.find(|one| one.kind == kind)
            .expect("one of them")
            .reason
    }

    #[test]
    fn memory_comes_first_on_one_host_and_tcp_between_two() {
        let usual = Preference::default();
        let near = Selection::decide(&opened(), &HERE, &offer(HERE, "127.0.0.1:1"), &usual);
        assert_eq!(
            (near.chosen(), near.is_same_host),
            (Some(TransportKind::Sm), true)
        );
        assert_eq!(reason(&near, TransportKind::Rdma), "no device");
        assert_eq!(
            reason(&near, TransportKind::Ucx),
            "it was not asked for here"
        );
        let far = Host { boot: 2, ..HERE };
        let far = Selection::decide(&opened(), &HERE, &offer(far, "10.0.0.1:1"), &usual);
        assert_eq!(
            (far.chosen(), far.is_same_host),
            (Some(TransportKind::Tcp), false)
        );
        assert_eq!(
            reason(&far, TransportKind::Sm),
            "the peer is on another host"
        );
    }

    #[test]
    fn a_loopback_address_of_another_host_is_not_tried() {
        let far = Host { boot: 2, ..HERE };
        let offer = offer(far, "127.0.0.1:1");
        let selection = Selection::decide(&opened(), &HERE, &offer, &Preference::default());
        assert_eq!(selection.chosen(), None);
        assert!(
            reason(&selection, TransportKind::Tcp).contains("secret"),
            "{selection}"
        );
    }

    #[test]
    fn what_is_forced_is_taken_and_nothing_else() {
        let forced = Preference::forced("tcp").expect("a transport");
        let selection = Selection::decide(&opened(), &HERE, &offer(HERE, "127.0.0.1:1"), &forced);
        assert_eq!(selection.chosen(), Some(TransportKind::Tcp));
        assert_eq!(
            reason(&selection, TransportKind::Tcp),
            "MASER_TRANSPORT asks for it"
        );
        assert_eq!(
            reason(&selection, TransportKind::Sm),
            "MASER_TRANSPORT asks for tcp"
        );
        assert_eq!(selection.candidates.len(), 4);
    }

    #[test]
    fn what_fails_gives_way_to_the_next_and_says_why() {
        let usual = Preference::default();
        let mut selection =
            Selection::decide(&opened(), &HERE, &offer(HERE, "127.0.0.1:1"), &usual);
        selection.failed("nobody is there");
        assert_eq!(selection.chosen(), Some(TransportKind::Tcp));
        assert_eq!(reason(&selection, TransportKind::Sm), "nobody is there");
        selection.failed("nor there");
        assert_eq!(selection.chosen(), None);
        let json = serde_json::to_value(&selection).expect("plain data");
        assert_eq!(json["candidates"][0]["kind"], "sm");
        assert_eq!(json["candidates"][0]["verdict"], "failed");
        assert!(
            selection
                .to_string()
                .starts_with("no transport\n  sm    failed"),
            "{selection}"
        );
    }
}
