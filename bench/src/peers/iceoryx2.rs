//! iceoryx2 0.9: samples loaned in shared memory and sent to the other process, which sends one of its
//! own back; both sides look again and again instead of sleeping.
//!
//! With `touch` each side writes the whole sample that it sends and reads the whole sample that came;
//! without, as in iceoryx2's own benchmark, only the first word.
#![allow(unsafe_code, reason = "sends samples that are not written as a whole")]

use std::fmt::Display;
use std::rc::Rc;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{Node, NodeBuilder, ipc};

use crate::harness::{BenchError, Contender, Offer, Skip, Window, check};
use crate::process::{PartnerProcess, Serve, Service, Setup, fill, sum, until_some};

/// Both directions, as one side has them. Fields are dropped before the node that they belong to.
struct Ends {
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    _node: Node<ipc::Service>,
    bytes: usize,
    touch: bool,
}

impl Ends {
    fn open(name: &str, is_first: bool, bytes: usize, touch: bool) -> Result<Self, String> {
        let told = |error: &dyn Display| error.to_string();
        let node = NodeBuilder::new()
            .create::<ipc::Service>()
            .map_err(|error| told(&error))?;
        let service = |way: &str| {
            let name = format!("{name}/{way}");
            let name = name
                .as_str()
                .try_into()
                .map_err(|_| format!("{name}: no name"))?;
            let service = node.service_builder(&name).publish_subscribe::<[u8]>();
            service.open_or_create().map_err(|error| told(&error))
        };
        let (out, into) = match is_first {
            true => ("there", "back"),
            false => ("back", "there"),
        };
        let publisher = service(out)?
            .publisher_builder()
            .initial_max_slice_len(bytes)
            .create()
            .map_err(|error| told(&error))?;
        let subscriber = service(into)?
            .subscriber_builder()
            .create()
            .map_err(|error| told(&error))?;
        Ok(Self {
            publisher,
            subscriber,
            _node: node,
            bytes,
            touch,
        })
    }

    #[inline]
    fn send(&self, number: u64) -> Result<(), String> {
        let sample = self.publisher.loan_slice_uninit(self.bytes);
        let sample = sample.map_err(|error| error.to_string())?;
        // SAFETY: a mapped file has no byte without value, and any byte is a `u8`.
        let mut sample = unsafe { sample.assume_init() };
        if self.touch {
            fill(sample.payload_mut(), number);
        } else {
            sample.payload_mut()[..8].copy_from_slice(&number.to_ne_bytes());
        }
        let receivers = sample.send().map_err(|error| error.to_string())?;
        if receivers == 1 {
            return Ok(());
        }
        Err(format!("a sample went to {receivers} receivers"))
    }

    /// The sum of the next sample's numbers.
    #[inline]
    fn receive(&self) -> Result<u64, String> {
        let next = until_some(|| self.subscriber.receive().transpose());
        let sample = next.map_err(|error| error.to_string())?;
        Ok(match self.touch {
            true => sum(&sample),
            false => sum(&sample[..8]),
        })
    }

    /// What the samples 1 to `calls` add up to.
    fn sum_to(&self, calls: u64) -> u64 {
        let first = calls * (calls + 1) / 2;
        if !self.touch {
            return first;
        }
        let words = self.bytes as u64 / 8;
        words * first + calls * (words * (words - 1) / 2)
    }
}

/// Samples there and back.
pub struct Iceoryx2 {
    ends: Ends,
    there: Service,
}

impl Iceoryx2 {
    /// Samples of `bytes` to `partner` and back; see the module's page for `touch`.
    ///
    /// # Errors
    /// The partner's.
    pub fn new(
        partner: &Rc<PartnerProcess>,
        bytes: usize,
        touch: bool,
    ) -> Result<Offer<Self>, BenchError> {
        let name = format!("maser-bench/{}/{bytes}/{touch}", std::process::id());
        let ends = match Ends::open(&name, true, bytes, touch) {
            Ok(ends) => ends,
            Err(why) => return Ok(Err(Skip(format!("iceoryx2: {why}")))),
        };
        let there = partner.open(Setup::Iceoryx2 { name, bytes, touch }, &[])?;
        Ok(Ok(Self { ends, there }))
    }
}

impl Contender for Iceoryx2 {
    fn name(&self) -> &'static str {
        "iceoryx2"
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let serving = self.there.serve(window.calls())?;
        let (mut number, mut seen, mut failed) = (0, 0_u64, None);
        window.time(|| {
            number += 1;
            match self.ends.send(number).and_then(|()| self.ends.receive()) {
                Ok(sum) => seen = seen.wrapping_add(sum),
                Err(error) => failed = Some(error),
            }
        });
        if let Some(error) = failed {
            return Err(BenchError::contender("iceoryx2", error));
        }
        let wanted = self.ends.sum_to(window.calls());
        check("iceoryx2", (wanted, wanted), (seen, serving.join()?))
    }
}

/// The other side of [`Iceoryx2`].
pub(crate) struct Iceoryx2There(Ends);

impl Iceoryx2There {
    pub(crate) fn open(name: &str, bytes: usize, touch: bool) -> Result<Self, String> {
        Ok(Self(Ends::open(name, false, bytes, touch)?))
    }
}

impl Serve for Iceoryx2There {
    fn serve(&mut self, calls: u64) -> Result<u64, String> {
        let mut seen = 0_u64;
        for number in 1..=calls {
            seen = seen.wrapping_add(self.0.receive()?);
            self.0.send(number)?;
        }
        Ok(seen)
    }
}

/// Loans of a sample that are given back unsent: memory made in place.
pub struct Iceoryx2Loan {
    publisher: Publisher<ipc::Service, [u8], ()>,
    _node: Node<ipc::Service>,
    bytes: usize,
}

impl Iceoryx2Loan {
    /// Samples of `bytes`.
    pub fn new(bytes: usize) -> Offer<Self> {
        Self::open(bytes).map_err(|why| Skip(format!("iceoryx2: {why}")))
    }

    fn open(bytes: usize) -> Result<Self, String> {
        let told = |error: &dyn Display| error.to_string();
        let node = NodeBuilder::new().create::<ipc::Service>();
        let node = node.map_err(|error| told(&error))?;
        let name = format!("maser-bench/{}/{bytes}/loan", std::process::id());
        let name = name
            .as_str()
            .try_into()
            .map_err(|_| format!("{name}: no name"))?;
        let service = node.service_builder(&name).publish_subscribe::<[u8]>();
        let service = service.open_or_create().map_err(|error| told(&error))?;
        let publisher = service.publisher_builder().initial_max_slice_len(bytes);
        let publisher = publisher.create().map_err(|error| told(&error))?;
        Ok(Self {
            publisher,
            _node: node,
            bytes,
        })
    }
}

impl Contender for Iceoryx2Loan {
    fn name(&self) -> &'static str {
        "iceoryx2"
    }

    fn note(&self) -> Option<&'static str> {
        Some("loan and give back")
    }

    fn window(&mut self, window: &mut Window<'_>) -> Result<(), BenchError> {
        let (mut bytes, mut failed) = (0, None);
        window.time(|| match self.publisher.loan_slice_uninit(self.bytes) {
            Ok(mut sample) => bytes += std::hint::black_box(sample.payload_mut()).len() as u64,
            Err(error) => failed = Some(error),
        });
        if let Some(error) = failed {
            return Err(BenchError::contender("iceoryx2", error));
        }
        check("iceoryx2", window.calls() * self.bytes as u64, bytes)
    }
}
