//! Requests begin, in the order of their connection, and are done.

use super::connection::{Behind, Came, Grant, Region, Stage, Waiting};
use super::control::{RegionKey, Word};
use super::sys::{Ep, FrameHead, Posted, Slot, Status};
use super::what::{Task, What};
use super::{COPIED_BYTES, GIVEN_BYTES, LIMITS, UcxTransport};
use crate::endpoint::Endpoint;
use crate::event::{EndReason, Event};
use crate::memory::{Access, RemoteSlice};
use crate::message::Message;
use crate::request::{PutSource, Token, WorkError, WorkRequest};
use maser_ucx_sys as ucx;

/// What frames are.
pub(super) const MESSAGE: u32 = 1;
pub(super) const SIGNAL: u32 = 2;
pub(super) const OFFER: u32 = 3;
pub(super) const TAKEN: u32 = 4;

/// Whether the connection is over with such a status, rather than one request.
fn is_of_the_peer(Status(status): Status) -> bool {
    [
        ucx::UCS_ERR_CANCELED,
        ucx::UCS_ERR_CONNECTION_RESET,
        ucx::UCS_ERR_ENDPOINT_TIMEOUT,
        ucx::UCS_ERR_NOT_CONNECTED,
        ucx::UCS_ERR_UNREACHABLE,
        ucx::UCS_ERR_REJECTED,
    ]
    .contains(&status)
}

impl UcxTransport {
    /// The head of the next frame, and the endpoint that it leaves by.
    fn next_frame(&mut self, endpoint: Endpoint, kind: u32) -> Option<(FrameHead, Ep)> {
        let connection = self.connections.get_mut(endpoint)?;
        let (_, ep) = connection.peer?;
        let head = FrameHead {
            to: connection.name_there,
            sequence: connection.frames,
            kind,
        };
        connection.frames = connection.frames.wrapping_add(1);
        connection.is_dirty = true;
        Some((head, ep))
    }

    /// Sends a frame with bytes that are copied.
    #[inline]
    pub(super) fn send_copied(&mut self, endpoint: Endpoint, kind: u32, payload: &[u8]) {
        let Some((head, ep)) = self.next_frame(endpoint, kind) else {
            return;
        };
        let slot = self.worker.take_slot();
        let filled = self.worker.slot(slot);
        filled.frame.clear();
        filled.frame.extend_from_slice(&head.to_bytes());
        filled.frame.extend_from_slice(payload);
        filled.what = What::Of(endpoint, Task::Frame);
        match self.worker.send_frame(ep, slot) {
            Posted::Done => self.worker.release(slot),
            posted => self.begun(slot, posted),
        }
    }

    /// An operation was given to UCX, which has it now, or is done, or refused it.
    pub(super) fn begun(&mut self, slot: u32, posted: Posted) {
        let What::Of(of, task) = self.worker.slot(slot).what else {
            return;
        };
        match posted {
            Posted::Done => self.is_done(slot, of, task),
            Posted::UnderWay => {
                if let Some(connection) = self.connections.get_mut(of) {
                    connection.active += 1;
                }
            }
            Posted::Refused(status) => {
                self.worker.release(slot);
                self.has_failed(of, task, Status(status));
            }
        }
    }

    /// UCX is done with a slot.
    pub(super) fn done(&mut self, slot: u32, status: ucx::ucs_status_t) {
        let What::Of(of, task) = self.worker.slot(slot).what else {
            self.worker.release(slot);
            return;
        };
        if let Some(connection) = self.connections.get_mut(of) {
            connection.active -= 1;
        }
        match status {
            ucx::UCS_OK => self.is_done(slot, of, task),
            status => {
                self.worker.release(slot);
                self.has_failed(of, task, Status(status));
            }
        }
        self.goes_on(of);
    }

    fn is_done(&mut self, slot: u32, of: Endpoint, task: Task) {
        match task {
            Task::Put(token, signal) if token.is_some() || signal.is_some() => {
                let Some((_, ep)) = self.connections.get(of).and_then(|found| found.peer) else {
                    self.worker.release(slot);
                    return;
                };
                self.worker.slot(slot).what = What::Of(of, Task::PutArrives(token, signal));
                let posted = self.worker.flush(ep, slot);
                return self.begun(slot, posted);
            }
            Task::Fetch(sequence, bytes) => {
                let message = self.worker.take_received(slot, bytes);
                self.worker.release(slot);
                self.comes(of, sequence, Came::Message(message));
                return;
            }
            Task::Collect(sequence, bytes, offer) => {
                let message = self.worker.take_received(slot, bytes);
                self.worker.release(slot);
                self.collected(of, sequence, offer, message);
                return;
            }
            Task::Add(token) => {
                let before = self.worker.slot(slot).word_before();
                self.worker.release(slot);
                self.tell_done(of, token, Ok(before));
                return;
            }
            _ => self.worker.release(slot),
        }
        match task {
            Task::PutArrives(token, signal) => {
                if let Some(signal) = signal {
                    self.send_copied(of, SIGNAL, &signal.to_le_bytes());
                }
                self.tell_done(of, token, Ok(0));
            }
            Task::Message(token) | Task::Get(token) => self.tell_done(of, token, Ok(0)),
            Task::Close => self.say_bye(of),
            Task::Meet => self.met(of),
            _ => {}
        }
    }

    fn has_failed(&mut self, of: Endpoint, task: Task, status: Status) {
        let token = task.token();
        let is_one_sided = matches!(task, Task::Get(_) | Task::Add(_) | Task::Put(..));
        if is_one_sided && !is_of_the_peer(status) {
            self.region_failed(of, token, status.to_string());
            return;
        }
        let reason = EndReason::PeerGone(format!("UCX says: {status}"));
        let reason = match self.connections.get(of).map(|found| &found.stage) {
            Some(Stage::Ending(reason)) => reason.clone(),
            _ => reason,
        };
        if let Some(token) = token {
            self.complete(of, token, Err(WorkError::Ended(reason.clone())));
        }
        self.peer_failed_of(of, reason);
    }

    /// A request for a region failed, and nothing else did.
    fn region_failed(&mut self, of: Endpoint, token: Option<Token>, says: String) {
        match token {
            Some(token) => self.complete(of, token, Err(WorkError::Region(says))),
            None => self.break_off(of, EndReason::Corrupt(says)),
        }
    }

    fn tell_done(&mut self, of: Endpoint, token: Option<Token>, outcome: Result<u64, WorkError>) {
        if let Some(token) = token {
            self.complete(of, token, outcome);
        }
    }

    /// Something of a connection is done: what waited for that begins.
    pub(super) fn goes_on(&mut self, of: Endpoint) {
        self.begin_waiting(of);
        let Some(connection) = self.connections.get_mut(of) else {
            return;
        };
        match &connection.stage {
            Stage::Ending(_) if connection.active == 0 => self.ended(of),
            Stage::Closing if connection.is_idle() && connection.peer.is_some() => {
                self.finish_and_leave(of);
            }
            Stage::Open
                if connection.is_awaited && connection.under_way() <= LIMITS.max_under_way / 2 =>
            {
                connection.is_awaited = false;
                self.events.push_back(Event::Writable { endpoint: of });
            }
            _ => {}
        }
    }

    /// Begins what waits, as far as it may.
    pub(super) fn begin_waiting(&mut self, of: Endpoint) {
        while let Some(connection) = self.connections.get_mut(of) {
            let (true, Some((_, ep))) = (connection.is_told(), connection.peer) else {
                return;
            };
            match connection.waiting.front() {
                None => return,
                Some(Waiting::Barrier(_)) if connection.active > 0 => return,
                Some(Waiting::Barrier(_)) if connection.is_dirty => {
                    connection.is_dirty = false;
                    connection.has_put = false;
                    let slot = self.worker.take_slot();
                    self.worker.slot(slot).what = What::Of(of, Task::Barrier);
                    let posted = self.worker.flush(ep, slot);
                    self.begun(slot, posted);
                }
                Some(Waiting::Barrier(_)) => {
                    if let Some(Waiting::Barrier(behind)) = connection.waiting.pop_front() {
                        self.is_behind(of, behind);
                    }
                }
                Some(Waiting::Request(request, _)) => {
                    let region = match request {
                        WorkRequest::Put { to, .. } => Some((to.clone(), Access::WRITE)),
                        WorkRequest::Get { from, .. } => Some((from.clone(), Access::READ)),
                        WorkRequest::FetchAdd { at, .. } => Some((at.clone(), Access::ATOMIC)),
                        _ => None,
                    };
                    let region = region.map(|(slice, access)| self.region_of(of, &slice, access));
                    let region = match region.transpose() {
                        // It is asked for.
                        Ok(Some(None)) => return,
                        Ok(region) => Ok(region.flatten()),
                        Err(problem) => Err(problem),
                    };
                    let Some(connection) = self.connections.get_mut(of) else {
                        return;
                    };
                    if let Some(Waiting::Request(request, token)) = connection.waiting.pop_front() {
                        match region {
                            Ok(region) => self.begin(of, request, token, region),
                            Err(problem) => self.region_failed(of, token, problem),
                        }
                    }
                }
            }
        }
    }

    /// Everything before a barrier has arrived.
    fn is_behind(&mut self, of: Endpoint, behind: Behind) {
        match behind {
            Behind::Fence => {}
            Behind::Flush(token) => self.tell_done(of, token, Ok(0)),
            Behind::LetGo(key) => {
                let Some(connection) = self.connections.get_mut(of) else {
                    return;
                };
                connection.grants.remove(&key);
                self.say(of, &Word::LetGo(key));
            }
        }
    }

    /// A region of the peer; `None` while it is asked for (UX-6).
    fn region_of(
        &mut self,
        of: Endpoint,
        slice: &RemoteSlice,
        wanted: Access,
    ) -> Result<Option<Region>, String> {
        let gone = || Err("there is no such region, or no more".to_owned());
        let Ok(key) = RegionKey::try_from(&**slice.region().key()) else {
            return gone();
        };
        let Some(connection) = self.connections.get_mut(of) else {
            return gone();
        };
        match connection.grants.get(&key) {
            Some(Grant::Here(region)) => {
                region.allows(slice, wanted)?;
                Ok(Some(*region))
            }
            Some(Grant::Asked) => Ok(None),
            Some(Grant::Gone) => gone(),
            None => {
                connection.grants.insert(key, Grant::Asked);
                self.say(of, &Word::Ask(key));
                Ok(None)
            }
        }
    }

    /// Begins a request, whose region is there if it has one.
    pub(super) fn begin(
        &mut self,
        of: Endpoint,
        request: WorkRequest,
        token: Option<Token>,
        region: Option<Region>,
    ) {
        if let WorkRequest::Send(message) = &request
            && message.len() <= COPIED_BYTES
        {
            self.send_copied(of, MESSAGE, message);
            self.tell_done(of, token, Ok(0));
            return;
        }
        let request = match request {
            WorkRequest::Send(message)
                if message.len() > GIVEN_BYTES && !self.can_be_forced(of) =>
            {
                return self.offer(of, message, token);
            }
            request => request,
        };
        let slot = self.worker.take_slot();
        let posted = match (request, region) {
            (WorkRequest::Send(message), _) => {
                let Some((head, ep)) = self.next_frame(of, MESSAGE) else {
                    return self.worker.release(slot);
                };
                let filled = self.worker.slot(slot);
                filled.what = What::Of(of, Task::Message(token));
                fill(filled, &head.to_bytes(), Some(message));
                self.worker.send_message(ep, slot)
            }
            (WorkRequest::Put { from, to, signal }, Some(region)) => {
                let Some(ep) = self.dirty_ep(of) else {
                    return self.worker.release(slot);
                };
                let filled = self.worker.slot(slot);
                filled.what = What::Of(of, Task::Put(token, signal));
                match (from, to.is_empty()) {
                    (_, true) => Posted::Done,
                    (from, false) => {
                        match from {
                            PutSource::Region(slice) => filled.slice = Some(slice),
                            PutSource::Bytes(bytes) if bytes.len() <= GIVEN_BYTES => {
                                fill(filled, &bytes, None);
                            }
                            PutSource::Bytes(bytes) => fill(filled, &[], Some(bytes)),
                        }
                        self.worker.put(ep, slot, region.key, to.address())
                    }
                }
            }
            (WorkRequest::Get { from, to }, Some(region)) => {
                let Some(ep) = self.dirty_ep(of) else {
                    return self.worker.release(slot);
                };
                let filled = self.worker.slot(slot);
                filled.what = What::Of(of, Task::Get(token));
                match to.is_empty() {
                    true => Posted::Done,
                    false => {
                        filled.slice = Some(to);
                        self.worker.get(ep, slot, region.key, from.address())
                    }
                }
            }
            (WorkRequest::FetchAdd { at, add }, Some(region)) => {
                let Some(ep) = self.dirty_ep(of) else {
                    return self.worker.release(slot);
                };
                self.worker.slot(slot).what = What::Of(of, Task::Add(token));
                let at = (region.key, at.address());
                self.worker.fetch_add(ep, slot, at, add)
            }
            // Flushes are barriers, control messages are said.
            _ => return self.worker.release(slot),
        };
        self.begun(slot, posted);
    }

    fn can_be_forced(&self, of: Endpoint) -> bool {
        let peer = self.connections.get(of).and_then(|found| found.peer);
        peer.is_some_and(|(_, ep)| self.worker.can_be_forced(ep))
    }

    fn dirty_ep(&mut self, of: Endpoint) -> Option<Ep> {
        let connection = self.connections.get_mut(of)?;
        connection.is_dirty = true;
        connection.has_put = true;
        connection.peer.map(|(_, ep)| ep)
    }
}

/// Fills the frame of a slot, and what is sent behind it.
fn fill(slot: &mut Slot, frame: &[u8], payload: Option<Message>) {
    slot.frame.clear();
    slot.frame.extend_from_slice(frame);
    slot.payload = payload.map(Message::into_bytes);
}
