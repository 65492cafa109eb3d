//! How a connection begins: hello, answer, and then requests.

use super::super::options::integrity_of;
use super::super::outgoing::Leaving;
use super::{Connection, Context, Stage};
use crate::event::{EndReason, Event};
use crate::wire::handshake::{ANSWER_BYTES, HELLO_BYTES, NotAdmitted, Session, answer};
use crate::wire::seal::Sealed;
use rustix::net::sockopt::socket_error;
use std::io;

impl Connection {
    /// The socket is connected, or is not: says hello.
    pub(in crate::tcp) fn greet(&mut self) -> Result<(), EndReason> {
        let outcome = socket_error(&self.socket).and_then(|outcome| outcome);
        let outcome = outcome.map_err(io::Error::from);
        outcome.map_err(|error| EndReason::Unreachable(error.to_string()))?;
        if let Stage::Connecting(both) = std::mem::replace(&mut self.stage, Stage::Accepted) {
            let (initiator, hello) = *both;
            self.outgoing.push_first(Leaving::raw(&hello));
            self.stage = Stage::Greeted(Box::new(initiator));
        }
        Ok(())
    }

    /// Takes what a handshake needs from the front of the inbox, once it is there.
    pub(super) fn handshake(&mut self, context: &mut Context<'_>) -> Result<(), EndReason> {
        let refused = |error: NotAdmitted| EndReason::NotAdmitted(error.to_string());
        let endpoint = self.endpoint;
        match &self.stage {
            Stage::Accepted => {
                // Who begins otherwise is not waited for.
                let begin = &self.inbox[..self.inbox.len().min(3)];
                if !b"msr".starts_with(begin) {
                    let problem = "what came is no hello of this protocol".to_owned();
                    return Err(EndReason::NotAdmitted(problem));
                }
                let Some(hello) = self.inbox.first_chunk::<HELLO_BYTES>() else {
                    return Ok(());
                };
                let integrity = integrity_of(context.integrity, &self.socket, None);
                let (said, outcome) = answer(hello, context.identity, integrity, context.secret);
                if let Some(said) = said {
                    self.outgoing.push_first(Leaving::raw(&said));
                }
                let session = outcome.map_err(refused)?;
                self.inbox.drain(..HELLO_BYTES);
                self.admit(session);
                self.is_known = true;
                context.events.push_back(Event::Accepted { endpoint });
            }
            Stage::Greeted(_) => {
                let Some(answer) = self.inbox.first_chunk::<ANSWER_BYTES>() else {
                    return Ok(());
                };
                let Stage::Greeted(initiator) = std::mem::replace(&mut self.stage, Stage::Refused)
                else {
                    return Ok(());
                };
                let session = initiator.read(answer).map_err(refused)?;
                self.inbox.drain(..ANSWER_BYTES);
                self.admit(session);
                context.events.push_back(Event::Connected { endpoint });
            }
            Stage::Connecting(_) | Stage::Open | Stage::Closing | Stage::Refused => {}
        }
        Ok(())
    }

    /// Both ends know each other.
    pub(in crate::tcp) fn admit(&mut self, session: Session) {
        self.sealed = session.sealed;
        if session.sealed != Sealed::Nothing {
            self.outgoing.seal_by(session.sealer, session.sealed);
            self.opener = Some(session.opener);
        }
        self.stage = Stage::Open;
    }
}
