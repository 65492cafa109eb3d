//! What the schedulers of a node leave behind when they end: lanes with calls under way, and
//! blocks of actors that such calls may still name.
//!
//! - RM-1 an end of a lane may not be settled before the scheduler of the other end has ended too:
//!   until then either may still write. So both come here and are settled when all schedulers have
//!   ended: by the thread that closes the node, or by the main thread if it ends later (RT-1).
#![allow(
    unsafe_code,
    reason = "things of one scheduler move to the thread that closes the node"
)]

use super::sources::Source;
use crate::actor::address::Burial;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

struct Left(Rc<dyn Source>);

// SAFETY: RM-1: used after the scheduler's thread was joined, or on that very thread.
unsafe impl Send for Left {}

#[derive(Default)]
struct State {
    lanes: Vec<Left>,
    blocks: Vec<Burial>,
    over: bool,
}

/// See the module's page.
#[derive(Default)]
pub(crate) struct Remains(Mutex<State>);

impl Remains {
    /// A scheduler ends: keeps its lanes, drops its other sources.
    pub(crate) fn keep_lanes(&self, sources: Vec<Rc<dyn Source>>) {
        // What is dropped may hold values of users: not under the lock.
        let lanes: Vec<Left> = sources
            .into_iter()
            .filter(|source| source.is_lane())
            .map(Left)
            .collect();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.lanes.extend(lanes);
    }

    /// Keeps a block that nobody holds any more until no call can name it.
    pub(crate) fn keep_block(&self, block: Burial) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.over {
            return state.blocks.push(block);
        }
        drop(state);
        block.free();
    }

    /// Every scheduler has ended: completes all calls and frees all blocks.
    pub(crate) fn settle(&self) {
        let lanes = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut state.lanes)
        };
        // Twice: what one end settles, the other finds.
        for _ in 0..2 {
            for Left(lane) in &lanes {
                lane.settle();
            }
        }
        drop(lanes);
        let blocks = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.over = true;
            std::mem::take(&mut state.blocks)
        };
        for block in blocks {
            block.free();
        }
    }
}
