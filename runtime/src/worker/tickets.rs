//! The calls that were sent over one link and not answered, by their tickets.
//!
//! A ticket names a place and how often it was used before: one that comes twice, or that nobody was
//! given, names nothing (`link` rule LP-3).

use super::pool::Job;
use super::restart::recall::Sent;
use crate::actor::core::ActorCore;
use crate::task::raw::Header;
use std::ptr::NonNull;

/// A call that was sent and not answered.
pub(crate) struct InFlight {
    pub(crate) cell: NonNull<Header>,
    /// The proxy of its actor, if it is a method; a counted handle.
    pub(crate) actor: Option<NonNull<ActorCore>>,
    /// If it is a task: what to do when its worker dies.
    pub(crate) job: Option<Box<Job>>,
    /// If its actor may come back: what is kept to send it again.
    pub(crate) sent: Option<Box<Sent>>,
}

struct Place {
    uses: u32,
    call: Option<InFlight>,
}

impl Place {
    fn ticket(&self, at: usize) -> u64 {
        u64::from(self.uses) << 32 | at as u64
    }
}

/// See the module's page.
#[derive(Default)]
pub(super) struct Tickets {
    places: Vec<Place>,
    free: Vec<u32>,
}

impl Tickets {
    /// A ticket for a call.
    #[inline]
    pub(super) fn give(&mut self, call: InFlight) -> u64 {
        let at = match self.free.pop() {
            Some(at) => at as usize,
            None => {
                let (uses, call) = (0, None);
                self.places.push(Place { uses, call });
                self.places.len() - 1
            }
        };
        let place = &mut self.places[at];
        place.call = Some(call);
        place.ticket(at)
    }

    #[inline]
    fn place(&mut self, ticket: u64) -> Option<&mut Place> {
        let place = self.places.get_mut(ticket as u32 as usize)?;
        (u64::from(place.uses) == ticket >> 32).then_some(place)
    }

    /// The call of a ticket.
    pub(super) fn call(&mut self, ticket: u64) -> Option<&mut InFlight> {
        self.place(ticket)?.call.as_mut()
    }

    /// The ticket of the call that `cell` waits for.
    pub(super) fn of(&self, cell: NonNull<Header>) -> Option<u64> {
        let mut places = self.places.iter().enumerate();
        places.find_map(|(at, place)| {
            let is_it = place.call.as_ref().is_some_and(|call| call.cell == cell);
            is_it.then(|| place.ticket(at))
        })
    }

    /// The call of a ticket, until it is given [back](Self::give_back): nobody else can complete it
    /// meanwhile (LP-5).
    pub(super) fn lend(&mut self, ticket: u64) -> Option<InFlight> {
        self.place(ticket)?.call.take()
    }

    /// Takes a call back that was lent.
    pub(super) fn give_back(&mut self, ticket: u64, call: InFlight) {
        if let Some(place) = self.place(ticket) {
            place.call = Some(call);
        }
    }

    /// The call of a ticket, which is used up.
    #[inline]
    pub(super) fn redeem(&mut self, ticket: u64) -> Option<InFlight> {
        let place = self.place(ticket)?;
        let call = place.call.take()?;
        place.uses = place.uses.wrapping_add(1);
        self.free.push(ticket as u32);
        Some(call)
    }

    /// All calls: the link is closed.
    pub(super) fn take_all(&mut self) -> Vec<InFlight> {
        let places = self.places.iter_mut();
        places.filter_map(|place| place.call.take()).collect()
    }
}
