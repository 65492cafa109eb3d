//! Fetches: whole, whatever is lost on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use maser_fakes::Faults;
use maser_transport::protocol::{FetchError, LostReason, Notice};
use maser_transport::{Access, HeapMemory, MemoryRegion, Transport};

use crate::world::{CLIENT, Ground, Loopback, SERVER, Tcp, World, pattern};

const BYTES: usize = 20_000;

fn region(end: &mut impl Transport, bytes: &[u8], access: Access) -> MemoryRegion {
    let memory = Arc::new(HeapMemory::new(bytes.len()));
    let region = end.register(memory, access).expect("registered");
    region.write(0, bytes).expect("within");
    region
}

fn bytes_of(region: &MemoryRegion) -> Vec<u8> {
    let mut bytes = vec![0; region.len()];
    region.read(0, &mut bytes).expect("within");
    bytes
}

/// Gives whether there was a point `cut`.
fn comes_whole<G: Ground>(cut: u64) -> bool {
    let faults = Faults {
        cut_at: BTreeSet::from([cut, cut + 7]),
        ..Faults::default()
    };
    let mut world = World::<G::T>::new::<G>(faults, Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    let there = region(
        world.all[SERVER].end.transport_mut(),
        &pattern(BYTES, 4),
        Access::READ,
    );
    let here = region(
        world.all[CLIENT].end.transport_mut(),
        &[0; BYTES],
        Access::empty(),
    );
    let end = &mut world.all[CLIENT].end;
    let from = there.remote().slice(100..BYTES as u64).expect("within");
    let to = here.slice(100..BYTES).expect("within");
    let fetch = end.fetch(peer, from, to).expect("taken");
    let outcome = world.until(CLIENT, |notice| match notice {
        Notice::Fetched {
            fetch: found,
            outcome,
            ..
        } if *found == fetch => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(outcome, Ok(()), "cut {cut}");
    let mut wanted = pattern(BYTES, 4);
    wanted[..100].fill(0);
    assert!(bytes_of(&here) == wanted, "cut {cut}");
    world.all[CLIENT].end.transport().cuts() > 0
}

#[test]
fn a_fetch_is_whole_wherever_the_connection_is_lost() {
    let cuts = (1..)
        .take_while(|cut| comes_whole::<Loopback>(*cut))
        .count();
    assert!(cuts > 25, "{cuts}");
}

#[test]
fn a_fetch_over_tcp_is_whole_wherever_the_connection_is_lost() {
    let cuts = (1..).take_while(|cut| comes_whole::<Tcp>(*cut)).count();
    assert!(cuts > 25, "{cuts}");
}

#[test]
fn a_fetch_of_a_region_that_is_gone_says_so() {
    let mut world = World::new::<Loopback>(Faults::default(), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    let there = region(
        world.all[SERVER].end.transport_mut(),
        &pattern(BYTES, 4),
        Access::READ,
    );
    let here = region(
        world.all[CLIENT].end.transport_mut(),
        &[0; BYTES],
        Access::empty(),
    );
    let from = there.remote().whole();
    drop(there);
    world.all[CLIENT]
        .end
        .fetch(peer, from, here.whole())
        .expect("taken");
    let outcome = world.until(CLIENT, |notice| match notice {
        Notice::Fetched { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert!(matches!(outcome, Err(FetchError::Region(_))), "{outcome:?}");
}

#[test]
fn a_fetch_ends_with_its_session() {
    let mut world = World::new::<Loopback>(Faults::default(), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    let there = region(
        world.all[SERVER].end.transport_mut(),
        &pattern(BYTES, 4),
        Access::READ,
    );
    let here = region(
        world.all[CLIENT].end.transport_mut(),
        &[0; BYTES],
        Access::empty(),
    );
    let end = &mut world.all[CLIENT].end;
    end.fetch(peer, there.remote().whole(), here.whole())
        .expect("taken");
    end.end(peer);
    let mut told = Vec::new();
    while !matches!(told.last(), Some(Notice::Lost { .. })) {
        world.turn();
        told.extend(world.told(CLIENT));
    }
    let fetched = told.iter().find_map(|notice| match notice {
        Notice::Fetched { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(fetched, Some(Err(FetchError::Lost(LostReason::Ended))));
}

#[test]
fn a_long_payload_is_not_copied_where_it_is_lent() {
    let mut world = World::new::<Loopback>(Faults::default(), Faults::default());
    let peer = world.connect(CLIENT, SERVER);
    let payload = maser_transport::Message::from(pattern(BYTES, 6));
    world.all[CLIENT].end.send(peer, 1, payload).expect("taken");
    let came = world.until(SERVER, |notice| match notice {
        Notice::Message { payload, .. } => Some(payload.clone()),
        _ => None,
    });
    assert_eq!(*came, pattern(BYTES, 6));
}
