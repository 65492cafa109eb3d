//! Messages there and back, one at a time.

use maser_transport::{Message, Transport, WorkRequest};

use super::pair::Pair;
use crate::harness::{BenchError, Contender, Window, check};

/// Messages that differ, so that one that comes twice is found.
const MESSAGES: usize = 4;

/// See the module's page. What is sent is shared and not copied, as what comes from a store is; the far end
/// sends back what came.
pub struct RoundTrip<T> {
    pair: Pair<T>,
    messages: Vec<Message>,
    asked: usize,
}

impl<T: Transport + 'static> RoundTrip<T> {
    /// Messages of `bytes`, 1 at least.
    pub fn new(pair: Pair<T>, bytes: usize) -> Self {
        let message = |number| {
            let mut content: Vec<u8> = (0..bytes).map(|at| (at * 7 % 251) as u8).collect();
            content[0] = number as u8;
            content[bytes - 1] = number as u8;
            Message::from(content)
        };
        Self {
            pair,
            messages: (0..MESSAGES).map(message).collect(),
            asked: 0,
        }
    }
}

impl<T: Transport + 'static> Contender for RoundTrip<T> {
    fn name(&self) -> &'static str {
        self.pair.name()
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (calls, name) = (window.calls(), self.pair.name());
        let (messages, asked) = (&self.messages, &mut self.asked);
        let (right, answered) = self.pair.both(
            window,
            move |side| {
                for _ in 0..calls {
                    let message = side.message()?;
                    side.post(WorkRequest::Send(message), None)?;
                }
                Ok(calls)
            },
            |side, window| {
                let (mut right, mut failed) = (0, None);
                window.time(|| {
                    *asked = (*asked + 1) % MESSAGES;
                    let sent = side.post(WorkRequest::Send(messages[*asked].clone()), None);
                    match sent.and_then(|()| side.message()) {
                        Ok(back) => right += u64::from(is_same(&back, &messages[*asked])),
                        Err(why) => failed = Some(why),
                    }
                });
                failed.map_or(Ok(right), Err)
            },
        )?;
        check(name, (calls, calls), (right, answered))
    }
}

/// Whether length and both ends of two messages are the same.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.first() == other.first() && one.last() == other.last()
}
