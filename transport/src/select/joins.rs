//! Connecting by the transport that was chosen, and by the next if it cannot be connected.

use super::published::Connection;
use super::{LIVELY_POLLS, Offer, Selection, Transports, outer};
use crate::endpoint::{Address, Endpoint};
use crate::event::{EndReason, Event};

/// What a join is called here.
pub type JoinId = u64;

/// A join that is not over.
pub(super) struct Joining {
    id: JoinId,
    addresses: Vec<Address>,
    selection: Selection,
    /// What is being connected.
    endpoint: Endpoint,
}

/// A join that is over.
#[derive(Debug)]
pub struct Joined {
    /// Which.
    pub id: JoinId,
    /// The endpoint, if there is one.
    pub endpoint: Option<Endpoint>,
    /// What was chosen, and why.
    pub selection: Selection,
}

impl Transports {
    /// What would be chosen, if nothing fails.
    #[must_use]
    pub fn decide(&self, offer: &Offer) -> Selection {
        Selection::decide(&self.opened, &self.host, offer, &self.preference)
    }

    /// Begins to connect to who made the offer; [`joined`](Self::joined) tells what came of it, after a
    /// poll, and [`Event::Connected`] comes as well if it is connected.
    pub fn join(&mut self, offer: &Offer) -> JoinId {
        self.last_join += 1;
        let joining = Joining {
            id: self.last_join,
            addresses: offer.ways.iter().map(|way| way.address.clone()).collect(),
            selection: self.decide(offer),
            endpoint: Endpoint::new(0, 0),
        };
        self.attempt(joining);
        self.last_join
    }

    /// The next join that is over.
    pub fn joined(&mut self) -> Option<Joined> {
        self.joined.pop_front()
    }

    /// Connects by the transport that is chosen, and by the next if it refuses.
    fn attempt(&mut self, mut joining: Joining) {
        while let Some(kind) = joining.selection.chosen() {
            let address = joining.addresses.iter().find(|one| one.kind() == kind);
            let place = self.ends.iter().position(|end| end.kind == kind);
            let (Some(address), Some(place)) = (address, place) else {
                unreachable!("only what both have is chosen");
            };
            let end = &mut self.ends[place];
            end.lively = LIVELY_POLLS;
            match end.transport.connect(address) {
                Ok(endpoint) => {
                    joining.endpoint = outer(place, endpoint);
                    return self.joins.push(joining);
                }
                Err(error) => joining.selection.failed(&error.to_string()),
            }
        }
        self.joined.push_back(Joined {
            id: joining.id,
            endpoint: None,
            selection: joining.selection,
        });
    }

    /// Takes note of what happened to a join; the event, if it is for others as well.
    #[cold]
    pub(super) fn note(&mut self, event: Event) -> Option<Event> {
        let (endpoint, reason): (_, Option<&EndReason>) = match &event {
            Event::Accepted { endpoint } => {
                self.accepted.insert(*endpoint);
                return Some(event);
            }
            Event::Connected { endpoint } => (*endpoint, None),
            Event::Ended { endpoint, reason } => (*endpoint, Some(reason)),
            _ => return Some(event),
        };
        if reason.is_some() && !self.accepted.remove(&endpoint) {
            self.connections.retain(|one| one.endpoint != endpoint);
        }
        let place = self.joins.iter().position(|one| one.endpoint == endpoint);
        let Some(place) = place else {
            return Some(event);
        };
        let mut joining = self.joins.swap_remove(place);
        if let Some(reason) = reason {
            joining.selection.failed(&reason.to_string());
            self.attempt(joining);
            return None;
        }
        if let Some(kind) = self.kind_of(endpoint) {
            self.connections.push(Connection {
                endpoint,
                kind,
                selection: joining.selection.clone(),
            });
        }
        self.joined.push_back(Joined {
            id: joining.id,
            endpoint: Some(endpoint),
            selection: joining.selection,
        });
        Some(event)
    }
}
