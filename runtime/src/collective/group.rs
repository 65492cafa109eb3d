//! `Group`: who made a group, and ends it.

use super::core::{GroupCore, Held};
use super::hub::Hub;
use super::member::Member;
use super::transport::Transport;
use crate::actor::handle::{Actor, ActorType};
use crate::config::Isolation;
use crate::error::{Error, Result};
use crate::node::Node;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

mod sealed {
    /// Kept to this crate.
    pub trait Sealed {}
    impl<A: crate::actor::handle::ActorType> Sealed for crate::actor::handle::Actor<A> {}
    impl<P: Sealed + ?Sized> Sealed for &P {}
}

/// What can be a member of a group: handles of actors, also of different classes
/// (`&[&a as &dyn Participant, &b]`).
pub trait Participant: sealed::Sealed {
    #[doc(hidden)]
    fn hold(&self, token: Token) -> Joined;
}

/// Only this crate can make one.
#[doc(hidden)]
#[derive(Debug)]
pub struct Token(());

/// A member that was named.
#[doc(hidden)]
pub struct Joined {
    id: u64,
    held: Held,
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.held.name)
    }
}

impl<A: ActorType> Participant for Actor<A> {
    fn hold(&self, _: Token) -> Joined {
        let actor = self.clone();
        let name = self.block().display_name();
        // Also the death of a process from which the actor comes back: without its member.
        let peer = self.block().remote.as_ref().map(|remote| remote.now().0);
        let death = {
            let name = name.clone();
            move || {
                let of_process = || {
                    let death = peer.as_ref()?.death()?;
                    Some(death.error("a group of actors", Some(name.clone())))
                };
                actor.block().death().or_else(of_process)
            }
        };
        Joined {
            id: self.block().id,
            held: Held {
                name,
                death: Box::new(death),
            },
        }
    }
}

impl<P: Participant + ?Sized> Participant for &P {
    fn hold(&self, token: Token) -> Joined {
        (**self).hold(token)
    }
}

/// How a group is made; [`create_group`] is the short form.
#[derive(Clone, Debug, Default)]
pub struct GroupOptions {
    name: Option<String>,
    transport: Option<String>,
    timeout: Option<Duration>,
}

impl GroupOptions {
    /// No name, transport `auto`, no limit of waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What errors call it.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// See [`Transport::of_name`].
    #[must_use]
    pub fn transport(mut self, name: &str) -> Self {
        self.transport = Some(name.to_owned());
        self
    }

    /// How long a member waits for the others, in each operation; see
    /// [`Member::with_timeout`].
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// A group of `members`: each has its place in the list as its rank.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no member, if one is named twice, and for transports
    /// that there are not; [`Error::ActorDied`] if one is dead; [`Error::NotRunning`].
    pub fn create<P: Participant>(self, members: &[P]) -> Result<Group> {
        let transport = Transport::of_name(self.transport.as_deref().unwrap_or("auto"))?;
        let node = Node::entered("a group of actors")?;
        if node.runs_inline() && members.len() > 1 {
            return Err(Error::InvalidArgument {
                argument: "members",
                problem: format!(
                    "{} actors in inline mode, where one runs at a time",
                    members.len()
                ),
                remedy: "use another mode, or a group of one".into(),
            });
        }
        let joined: Vec<Joined> = members.iter().map(|one| one.hold(Token(()))).collect();
        check(&joined)?;
        let id = node.random.next_u64();
        let name = match self.name {
            Some(name) => format!("group {name:?}"),
            None => format!("group#{:08x}", id >> 32),
        };
        let held = joined.into_iter().map(|joined| joined.held).collect();
        let core = Arc::new(GroupCore::new(id, name, held, node.clock.clone()));
        if !node.collectives.add(&core) {
            return Err(Error::ShutDown {
                what: core.name.clone(),
            });
        }
        let group = Group {
            core,
            node,
            transport,
            timeout: self.timeout,
        };
        let hub = Hub::options()
            .isolation(Isolation::Thread)
            .scheduler(0)
            .max_concurrency(u32::MAX >> 1);
        group.core.open_to_others(hub.remote(id));
        // One may have died before the group was there to be told.
        group.core.check_members();
        Ok(group)
    }
}

fn check(joined: &[Joined]) -> Result<()> {
    let refuse = |problem: String, remedy: &str| {
        Err(Error::InvalidArgument {
            argument: "members",
            problem,
            remedy: remedy.to_owned(),
        })
    };
    if joined.is_empty() {
        return refuse("a group of no members".into(), "name at least one actor");
    }
    let mut ranks = BTreeMap::new();
    for (rank, one) in joined.iter().enumerate() {
        if let Some(first) = ranks.insert(one.id, rank) {
            let name = &one.held.name;
            return refuse(
                format!("{name} is both rank {first} and rank {rank}"),
                "name each actor once",
            );
        }
        if let Some(death) = (one.held.death)() {
            return Err(death);
        }
    }
    Ok(())
}

/// A group of the actors in `members`, whose places in it are their ranks, over the transport of this
/// name: `gloo`, `shm` or `auto`, which are host memory.
///
/// # Errors
/// As [`GroupOptions::create`].
pub fn create_group<P: Participant>(members: &[P], transport: &str) -> Result<Group> {
    GroupOptions::new().transport(transport).create(members)
}

/// A group of actors, as its maker has it. It keeps its members alive.
///
/// Dropping it destroys the group: operations that are under way end with
/// [`CollectiveError::Closed`](super::CollectiveError::Closed).
#[must_use = "the group ends when this is dropped"]
pub struct Group {
    core: Arc<GroupCore>,
    node: Arc<Node>,
    transport: Transport,
    timeout: Option<Duration>,
}

impl Group {
    /// How many members there are.
    #[must_use]
    pub fn world_size(&self) -> usize {
        self.core.world_size()
    }

    /// What tensors travel over.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The end of the member with this rank: pass it to that actor.
    ///
    /// # Panics
    /// If there is no such rank.
    #[must_use]
    pub fn member(&self, rank: usize) -> Member {
        let world_size = self.world_size();
        assert!(
            rank < world_size,
            "rank {rank} of a group of {world_size} members"
        );
        Member::new(self.core.clone(), rank, self.timeout)
    }

    /// The ends of all members, by rank.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        (0..self.world_size())
            .map(|rank| self.member(rank))
            .collect()
    }

    /// Ends the group, as dropping it does. The actors can be in another one at once.
    pub fn destroy(self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.node.collectives.remove(self.core.id);
        self.core.close("it was destroyed");
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} members", self.core.name, self.world_size())
    }
}
