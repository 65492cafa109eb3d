//! A group without its threads: who gave what to which operation. Nothing in here waits.
//!
//! This is what compiled graphs build collective nodes on: a core per group, one
//! [`contribute`](GroupCore::contribute) per rank and run, and a [`Ticket`] whose
//! [`try_outcome`](Ticket::try_outcome) is polled, awaited as a future, or blocked on.

use super::combine::{Naming, combine};
use super::error::{CollectiveError, Missing, Who};
use super::hub::Hub;
use super::make::Made;
use super::operation::{Contribution, Operation};
use super::round::Round;
use super::sequence::{Full, Sequence};
use super::ticket::Ticket;
use crate::actor::handle::Actor;
use crate::clock::Clock;
use crate::error::Error;
use maser_shm::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A member as its group holds it.
pub(crate) struct Held {
    /// Class and name or number of the actor, for errors.
    pub(crate) name: String,
    /// Why it is dead, if it is; holds the actor.
    pub(crate) death: Box<dyn Fn() -> Option<Error> + Send + Sync>,
}

/// Which operations are numbered together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Those of all ranks.
    All,
    /// Messages from one rank to another.
    Pair(usize, usize),
}

impl Lane {
    fn of(operation: Operation) -> Self {
        match operation {
            Operation::Message { from, to } => Self::Pair(from, to),
            _ => Self::All,
        }
    }

    /// The party that `rank` is in it.
    fn party(self, rank: usize) -> usize {
        match self {
            Self::All => rank,
            Self::Pair(from, _) => usize::from(rank != from),
        }
    }

    /// The rank of a party.
    fn rank(self, party: usize) -> usize {
        match self {
            Self::All => party,
            Self::Pair(from, to) => [from, to][party],
        }
    }
}

/// See the module's page.
pub(crate) struct GroupCore {
    pub(crate) id: u64,
    /// As errors say it: `group "name"`.
    pub(crate) name: String,
    names: Vec<String>,
    clock: Arc<dyn Clock>,
    /// The next token of a call of this process; any order.
    tokens: AtomicU64,
    state: Mutex<State>,
}

struct State {
    members: Vec<Held>,
    all: Sequence,
    pairs: BTreeMap<Lane, Sequence>,
    /// Set once: nothing is contributed any more.
    over: Option<Arc<CollectiveError>>,
    /// The way of members in other processes.
    hub: Option<Actor<Hub>>,
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut Sequence {
        match lane {
            Lane::All => &mut self.all,
            Lane::Pair(..) => self.pairs.entry(lane).or_insert_with(|| Sequence::new(2)),
        }
    }
}

impl GroupCore {
    /// A group of `members`, in the order of their ranks.
    pub(crate) fn new(id: u64, name: String, members: Vec<Held>, clock: Arc<dyn Clock>) -> Self {
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let all = Sequence::new(names.len());
        Self {
            id,
            name,
            names,
            clock,
            tokens: AtomicU64::new(0),
            state: Mutex::new(State {
                members,
                all,
                pairs: BTreeMap::new(),
                over: None,
                hub: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the way of members in other processes.
    pub(super) fn open_to_others(&self, hub: Actor<Hub>) {
        self.lock().hub = Some(hub);
    }

    /// The way of members in other processes, while the group lasts.
    pub(super) fn hub(&self) -> Option<Actor<Hub>> {
        self.lock().hub.clone()
    }

    /// How many ranks there are.
    pub(crate) fn world_size(&self) -> usize {
        self.names.len()
    }

    /// The next part of `rank`, which belongs to the operation of that number (GP-1). The rank that
    /// comes last does the work before this returns.
    ///
    /// # Errors
    /// [`CollectiveError::Closed`] and [`CollectiveError::MemberDied`], if the group is over. What
    /// is wrong with the operation is for the ticket to tell.
    pub(crate) fn contribute(
        self: &Arc<Self>,
        rank: usize,
        operation: Operation,
        part: Contribution,
    ) -> Result<Ticket, Arc<CollectiveError>> {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        self.contribute_as(rank, operation, part, token)
    }

    /// As [`contribute`](Self::contribute), under a token that the caller chose.
    pub(super) fn contribute_as(
        self: &Arc<Self>,
        rank: usize,
        operation: Operation,
        part: Contribution,
        token: u64,
    ) -> Result<Ticket, Arc<CollectiveError>> {
        let lane = Lane::of(operation);
        let now_ns = self.clock.now_ns();
        let (round, full) = {
            let mut state = self.lock();
            if let Some(over) = &state.over {
                return Err(over.clone());
            }
            state
                .lane(lane)
                .give(lane.party(rank), (part, token), now_ns)
        };
        self.finish(lane, &round, full);
        Ok(Ticket {
            core: self.clone(),
            round,
            lane,
            rank,
            token,
            operation,
        })
    }

    fn finish(&self, lane: Lane, round: &Round, full: Full) {
        let Some(given) = full else { return };
        let naming = Naming {
            group: &self.name,
            number: round.number,
            who: &|party| self.who(lane.rank(party)),
        };
        match combine(given, &naming) {
            Ok(Made::Done(shared)) => round.finish(Ok(shared)),
            Ok(Made::Left(work)) => round.share(work),
            Err(error) => round.finish(Err(error)),
        }
    }

    pub(super) fn who(&self, rank: usize) -> Who {
        Who {
            rank,
            actor: self.names[rank].clone(),
        }
    }

    /// The party that a rank is in a round of this lane.
    pub(super) fn party(lane: Lane, rank: usize) -> usize {
        lane.party(rank)
    }

    /// GP-3.
    pub(super) fn take_back(&self, lane: Lane, rank: usize, token: u64) -> Option<Arc<Round>> {
        let mut state = self.lock();
        state.lane(lane).take_back(lane.party(rank), token)
    }

    /// Takes back what was contributed under this token, with the error of a call that waited so
    /// long; none if everybody has come. What was given before the last of this rank stays (GP-3).
    pub(super) fn take_back_as(
        &self,
        rank: usize,
        operation: Operation,
        token: u64,
        waited: Duration,
    ) -> Option<CollectiveError> {
        let lane = Lane::of(operation);
        let stays = || self.lock().lane(lane).given_to(lane.party(rank), token);
        let round = self.take_back(lane, rank, token).or_else(stays)?;
        Some(self.timed_out(lane, rank, operation, &round, waited))
    }

    /// The end of a wait that begins now.
    pub(super) fn end_ns(&self, limit: Duration) -> u64 {
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.clock.now_ns().saturating_add(limit_ns)
    }

    /// What is left of it.
    pub(super) fn left(&self, end_ns: u64) -> Duration {
        Duration::from_nanos(end_ns.saturating_sub(self.clock.now_ns()))
    }

    /// The error of a call of `rank` that waited so long.
    pub(super) fn timed_out(
        &self,
        lane: Lane,
        rank: usize,
        operation: Operation,
        round: &Round,
        waited: Duration,
    ) -> CollectiveError {
        let mut missing = self.missing(lane, round);
        missing.retain(|one| one.who.rank != rank);
        CollectiveError::Timeout {
            group: self.name.clone(),
            number: round.number,
            operation: operation.to_string(),
            waited,
            missing,
        }
    }

    /// The round for which a sender has to wait that has this many messages under way.
    pub(super) fn behind(&self, lane: Lane, rank: usize, limit: usize) -> Option<Arc<Round>> {
        let mut state = self.lock();
        let sequence = state.lane(lane);
        if sequence.ahead(lane.party(rank)) > limit {
            sequence.oldest()
        } else {
            None
        }
    }

    /// Who has not come to a round.
    pub(super) fn missing(&self, lane: Lane, round: &Round) -> Vec<Missing> {
        let now_ns = self.clock.now_ns();
        let mut state = self.lock();
        let sequence = state.lane(lane);
        let missing = round.missing().into_iter().map(|party| Missing {
            who: self.who(lane.rank(party)),
            last_seen: sequence
                .seen_ns(party)
                .map(|then| Duration::from_nanos(now_ns.saturating_sub(then))),
        });
        missing.collect()
    }

    /// Ends the group if one of its members is dead.
    pub(crate) fn check_members(&self) {
        let dead = {
            let state = self.lock();
            let mut members = state.members.iter().enumerate();
            members.find_map(|(rank, member)| Some((rank, (member.death)()?)))
        };
        if let Some((rank, death)) = dead {
            let reason = match death {
                Error::ActorDied { reason, .. } => reason,
                other => other.to_string(),
            };
            self.end(CollectiveError::MemberDied {
                group: self.name.clone(),
                who: self.who(rank),
                reason,
            });
        }
    }

    /// Ends the group for this reason, if it is not over: all that is under way fails with it.
    pub(crate) fn end(&self, reason: CollectiveError) {
        let (rounds, held, reason) = {
            let mut state = self.lock();
            if state.over.is_some() {
                return;
            }
            let reason = Arc::new(reason);
            state.over = Some(reason.clone());
            let mut rounds: Vec<_> = state.all.end().collect();
            for sequence in state.pairs.values_mut() {
                rounds.extend(sequence.end());
            }
            let held = (std::mem::take(&mut state.members), state.hub.take());
            (rounds, held, reason)
        };
        for round in rounds {
            round.finish(Err(reason.clone()));
        }
        drop(held);
    }

    /// As [`end`](Self::end), because somebody closed it.
    pub(crate) fn close(&self, reason: &str) {
        self.end(CollectiveError::Closed {
            group: self.name.clone(),
            reason: reason.to_owned(),
        });
    }
}
