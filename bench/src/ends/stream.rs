//! Messages, and puts, one way: bursts that are over when the last byte of them is there.

use std::sync::Arc;

use maser_transport::{
    Access, Event, HeapMemory, LocalSlice, Memory, MemoryRegion, Message, PutSource, RemoteSlice,
    Transport, WorkRequest,
};

use super::pair::Pair;
use crate::harness::{BenchError, Contender, Window, check};

/// Bytes of the region that puts go to, part by part: more than caches of one core hold.
pub const REGION_BYTES: usize = 16 << 20;
/// What the end of a burst is called.
const BURST: u64 = 1;

/// Messages one way.
pub struct SendStream<T> {
    pair: Pair<T>,
    message: Message,
    burst: u64,
}

impl<T: Transport + 'static> SendStream<T> {
    /// Bursts of `burst` messages of `bytes` each.
    pub fn new(pair: Pair<T>, bytes: usize, burst: u64) -> Self {
        Self {
            pair,
            message: Message::from(vec![7; bytes]),
            burst,
        }
    }
}

impl<T: Transport + 'static> Contender for SendStream<T> {
    fn name(&self) -> &'static str {
        self.pair.name()
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (calls, name, burst) = (window.calls(), self.pair.name(), self.burst);
        let (message, bytes) = (&self.message, self.message.len());
        let (acknowledged, whole) = self.pair.both(
            window,
            move |side| {
                let mut whole = 0;
                for _ in 0..calls {
                    for _ in 0..burst {
                        whole += u64::from(side.message()?.len() == bytes);
                    }
                    side.post(WorkRequest::Send(Message::copied(b"there")), None)?;
                }
                Ok(whole)
            },
            |side, window| {
                let (mut acknowledged, mut failed) = (0, None);
                window.time_many(burst, || {
                    let sent = (0..burst)
                        .try_for_each(|_| side.post(WorkRequest::Send(message.clone()), None));
                    match sent.and_then(|()| side.message()) {
                        Ok(_) => acknowledged += 1,
                        Err(why) => failed = Some(why),
                    }
                });
                failed.map_or(Ok(acknowledged), Err)
            },
        )?;
        check(name, (calls, calls * burst), (acknowledged, whole))
    }
}

/// Puts one way, into a region of the far end.
pub struct PutStream<T> {
    pair: Pair<T>,
    from: Vec<LocalSlice>,
    to: Vec<RemoteSlice>,
    source: MemoryRegion,
    target: MemoryRegion,
    burst: u64,
    stamp: u64,
}

impl<T: Transport + 'static> PutStream<T> {
    /// Bursts of `burst` puts of `bytes` each, a part of the region each.
    ///
    /// # Errors
    /// The transport's.
    pub fn new(mut pair: Pair<T>, bytes: usize, burst: u64) -> Result<Self, BenchError> {
        let name = pair.name();
        let failed = |why: String| BenchError::contender(name, why);
        let (here, there) = pair.ends().ok_or_else(|| failed("no far end".to_owned()))?;
        let register = |end: &mut T| {
            let memory: Arc<dyn Memory> = Arc::new(HeapMemory::new(REGION_BYTES));
            let region = end.register(memory, Access::all());
            let region = region.map_err(|error| failed(error.to_string()))?;
            // All pages are there before the first window.
            let written = region.write(0, &vec![7; REGION_BYTES]);
            written.map_err(|error| failed(error.to_string()))?;
            Ok::<_, BenchError>(region)
        };
        let (source, target) = (register(here)?, register(there)?);
        let remote = target.remote();
        let parts = (0..REGION_BYTES / bytes).map(|part| part * bytes);
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for at in parts {
            let (start, end) = (at as u64, (at + bytes) as u64);
            let slices = source
                .slice(at..at + bytes)
                .and_then(|from| Ok((from, remote.slice(start..end)?)));
            let (one, other) = slices.map_err(|error| failed(error.to_string()))?;
            from.push(one);
            to.push(other);
        }
        Ok(Self {
            pair,
            from,
            to,
            source,
            target,
            burst,
            stamp: 0,
        })
    }

    /// Puts made in the last burst that have arrived: their last bytes say so.
    fn arrived(&self) -> u64 {
        let has_stamp = |slice: &&LocalSlice| {
            let mut found = [0; 8];
            let read = self
                .target
                .read(slice.offset() + slice.len() - 8, &mut found);
            read.is_ok() && found == self.stamp.to_ne_bytes()
        };
        let made = self.from.iter().take(self.burst as usize);
        made.filter(has_stamp).count() as u64
    }
}

impl<T: Transport + 'static> Contender for PutStream<T> {
    fn name(&self) -> &'static str {
        self.pair.name()
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (calls, name, burst) = (window.calls(), self.pair.name(), self.burst);
        let (from, to, source) = (&self.from, &self.to, &self.source);
        let stamp = &mut self.stamp;
        let (flushed, ()) = self.pair.both(
            window,
            |_| Ok(()),
            |side, window| {
                let (mut flushed, mut failed) = (0, None);
                let mut one_burst = || {
                    *stamp += 1;
                    for slice in from.iter().take(burst as usize) {
                        let end = slice.offset() + slice.len();
                        let written = source.write(end - 8, &stamp.to_ne_bytes());
                        written.map_err(|error| error.to_string())?;
                    }
                    for part in 0..burst as usize {
                        let part = part % from.len();
                        let request = WorkRequest::Put {
                            from: PutSource::Region(from[part].clone()),
                            to: to[part].clone(),
                            signal: None,
                        };
                        side.post(request, None)?;
                    }
                    side.post(WorkRequest::Flush, Some(BURST))?;
                    side.until(|event| match event {
                        Event::Completed(done) if done.token == BURST => Some(done.outcome),
                        _ => None,
                    })?
                    .map_err(|error| error.to_string())
                };
                window.time_many(burst, || match one_burst() {
                    Ok(_) => flushed += 1,
                    Err(why) => failed = Some(why),
                });
                failed.map_or(Ok(flushed), Err)
            },
        )?;
        check(name, calls, flushed)?;
        let made = burst.min(self.from.len() as u64);
        check(name, made, self.arrived())
    }
}
