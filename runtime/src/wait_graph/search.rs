//! The search of a circle in the graph of waits: rules WG-1 to WG-5 of its page.
#![allow(unsafe_code, reason = "reads what is waited for")]

use super::{Awaited, Edges, Holder, Scratch};
use crate::actor::core::{Access, ActorCore};
use maser_shm::sync::atomic::Ordering;
use std::collections::HashMap;

impl Edges {
    /// The path from `start` round to itself, if it can never go on.
    pub(super) fn way_back(&mut self, start: usize) -> Option<String> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let path = self.search(start, &mut scratch);
        scratch.order.clear();
        scratch.stuck.clear();
        self.scratch = scratch;
        path
    }

    fn search(&self, start: usize, Scratch { order, stuck }: &mut Scratch) -> Option<String> {
        order.push(start);
        stuck.insert(start, true);
        let mut comes_back = false;
        let mut at = 0;
        while let Some(&task) = order.get(at) {
            at += 1;
            for awaited in self.waits.get(&task)?.needs.all() {
                self.each_in_the_way(awaited, |other| {
                    comes_back |= other == start;
                    if self.waits.contains_key(&other) && stuck.insert(other, true).is_none() {
                        order.push(other);
                    }
                });
            }
        }
        if !comes_back {
            return None;
        }
        // Whoever can go on is taken out until nobody is. Backwards: those at the end are waited
        // for by those before.
        let mut changed = true;
        while changed {
            changed = false;
            for task in order.iter().rev() {
                if stuck[task] && self.can_go_on(*task, stuck) {
                    stuck.insert(*task, false);
                    changed = true;
                }
            }
        }
        if stuck[&start] {
            Some(self.path(start, stuck))
        } else {
            None
        }
    }

    fn can_go_on(&self, task: usize, stuck: &HashMap<usize, bool>) -> bool {
        let needs = &self.waits[&task].needs;
        let mut never = needs
            .all()
            .iter()
            .filter(|one| self.never_comes(one, stuck));
        never.nth(needs.dispensable()).is_none()
    }

    /// Whether `awaited` cannot come while the `stuck` ones wait.
    fn never_comes(&self, awaited: &Awaited, stuck: &HashMap<usize, bool>) -> bool {
        let is_stuck = |task: &usize| stuck.get(task).copied().unwrap_or(false);
        match awaited {
            Awaited::Above(task, _) => is_stuck(task),
            Awaited::Lock(owner) => {
                // SAFETY: WG-4.
                let owner = unsafe { owner.as_ref() }.load(Ordering::Relaxed);
                self.marked.get(&owner).is_some_and(is_stuck)
            }
            Awaited::Task(cell) => {
                // SAFETY: WG-4.
                let header = unsafe { cell.as_ref() };
                if header.completion.is_done() {
                    return false;
                }
                if self.waits.contains_key(&cell.addr().get()) {
                    return is_stuck(&cell.addr().get());
                }
                header.actor.was_queued()
                    && self.is_kept_out(header.actor.core(), header.vtable().access, is_stuck)
            }
            Awaited::Run(result, graph, run) => {
                // SAFETY: WG-4. The words it names are not read.
                let is_there = unsafe { result.as_ref() }.idle(*run).is_none();
                !is_there && self.steps_of(*graph, *run).any(|step| is_stuck(&step))
            }
            Awaited::Turn(actor, access) => self.is_kept_out(actor.as_ptr(), *access, is_stuck),
        }
    }

    /// WG-1.
    fn is_kept_out(
        &self,
        actor: *const ActorCore,
        access: Access,
        is_stuck: impl Fn(&usize) -> bool,
    ) -> bool {
        let mut stuck = 0;
        self.holders_of(actor).any(|(task, holder)| {
            let enough = match access {
                Access::Shared if !holder.alone => holder.shared_places,
                Access::Async if !holder.alone => holder.async_places,
                _ => 1,
            };
            stuck += usize::from(is_stuck(&task));
            stuck >= enough
        })
    }

    /// The steps of `graph` that wait, of runs up to `run`.
    fn steps_of(&self, graph: u64, run: u64) -> impl Iterator<Item = usize> {
        let all = self.steps.range((graph, 0)..=(graph, usize::MAX));
        let due = all.filter(move |(_, of_run)| **of_run <= run);
        due.map(|(&(_, step), _)| step)
    }

    fn holders_of(&self, actor: *const ActorCore) -> impl Iterator<Item = (usize, &Holder)> {
        let actor = actor.addr();
        let all = self.holders.range((actor, 0)..=(actor, usize::MAX));
        all.map(|(&(_, task), holder)| (task, holder))
    }

    /// The blocked tasks before whose end `awaited` may be unable to come.
    fn each_in_the_way(&self, awaited: &Awaited, mut visit: impl FnMut(usize)) {
        match awaited {
            Awaited::Above(task, _) => visit(*task),
            Awaited::Lock(owner) => {
                // SAFETY: WG-4.
                let owner = unsafe { owner.as_ref() }.load(Ordering::Relaxed);
                if let Some(task) = self.marked.get(&owner) {
                    visit(*task);
                }
            }
            Awaited::Task(cell) => {
                // SAFETY: WG-4.
                let header = unsafe { cell.as_ref() };
                if self.waits.contains_key(&cell.addr().get()) {
                    visit(cell.addr().get());
                } else if header.actor.was_queued() {
                    let actor = header.actor.core();
                    self.holders_of(actor).for_each(|(task, _)| visit(task));
                }
            }
            Awaited::Run(_, graph, run) => self.steps_of(*graph, *run).for_each(visit),
            Awaited::Turn(actor, _) => {
                let holders = self.holders_of(actor.as_ptr());
                holders.for_each(|(task, _)| visit(task));
            }
        }
    }

    /// A way from `start` through stuck tasks back to it, which is there (WG-5).
    fn path(&self, start: usize, stuck: &HashMap<usize, bool>) -> String {
        // By task: who was before it on the way, and what that one waits for.
        let mut before: HashMap<usize, (usize, &'static str)> = HashMap::new();
        let mut open = vec![start];
        while let Some(task) = open.pop() {
            if before.contains_key(&start) {
                break;
            }
            for awaited in self.waits[&task].needs.all() {
                if !self.never_comes(awaited, stuck) {
                    continue;
                }
                self.each_in_the_way(awaited, |other| {
                    if stuck.get(&other) == Some(&true) && !before.contains_key(&other) {
                        before.insert(other, (task, awaited.name()));
                        open.push(other);
                    }
                });
            }
        }
        let mut names = vec![self.waits[&start].waiter];
        let mut task = start;
        while let Some((earlier, awaited)) = before.get(&task) {
            if names.last() != Some(awaited) {
                names.push(awaited);
            }
            task = *earlier;
            let waiter = self.waits[&task].waiter;
            if names.last() != Some(&waiter) {
                names.push(waiter);
            }
            if task == start {
                break;
            }
        }
        if names.len() == 1 {
            names.push(names[0]);
        }
        names.reverse();
        names.join(" waits for ")
    }
}

impl Awaited {
    fn name(&self) -> &'static str {
        match self {
            // SAFETY: WG-4.
            Self::Task(cell) => unsafe { cell.as_ref() }.meta().name,
            Self::Lock(_) => "a mutex",
            Self::Above(_, name) => name,
            Self::Run(..) => "a graph's result",
            // SAFETY: WG-4.
            Self::Turn(actor, _) => unsafe { actor.as_ref() }.meta.name,
        }
    }
}
