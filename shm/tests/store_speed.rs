//! How long the store takes; prints figures and asserts no time. Run it by itself:
//! `cargo test --release -p maser-shm --test store_speed -- --ignored --nocapture`.
#![cfg(not(any(loom, miri)))]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use maser_shm::os::shared_memory::PageKind;
use maser_shm::store::{
    Descriptor, Foreign, HugePages, Leave, PeerId, Release, Store, StoreConfig, copy,
};

struct Nothing;

impl Release for Nothing {
    fn release(&self, _owner: PeerId, _descriptor: Descriptor, _count: u64) {}
}

const MIB: usize = 1 << 20;

/// Least nanoseconds a call over some windows.
fn least_ns(windows: u32, calls: u32, mut call: impl FnMut()) -> f64 {
    call();
    let window = |_| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..windows).map(window).fold(f64::MAX, f64::min)
}

#[test]
#[ignore = "prints times"]
fn small_objects() {
    let store = Store::new(StoreConfig::new(512 * MIB)).unwrap();
    let arena = store.arena();
    for bytes in [8, 64, 256, 1024] {
        let from = vec![7u8; bytes];
        let put = least_ns(50, 20_000, || {
            drop(black_box(arena.put(black_box(&from)).unwrap()))
        });
        let make = least_ns(50, 20_000, || drop(black_box(arena.create(bytes).unwrap())));
        let mut held = Vec::with_capacity(10_000);
        let many = least_ns(20, 1, || {
            held.clear();
            held.extend((0..10_000).map(|_| arena.put(black_box(&from)).unwrap()));
        });
        let many = many / 10_000.0;
        println!(
            "{bytes:5} B: put+drop {put:6.1} ns, create+drop {make:6.1} ns, 10k put+drop {many:6.1} ns"
        );
    }
    let object = arena.put(&[7; 1024]).unwrap();
    let clone = least_ns(50, 20_000, || {
        let object = black_box(&object).clone();
        black_box(object.as_ptr());
    });
    let shelved = store.shelve(object, Leave::Dropped).unwrap();
    let get = least_ns(50, 20_000, || {
        black_box(black_box(&shelved).get().unwrap().as_ptr());
    });
    println!("clone+pointer+drop {clone:.1} ns, shelf get+pointer+drop {get:.1} ns");
    let peer = PeerId(3);
    store.add_peer(peer, "peer");
    let object = arena.put(&[7; 1024]).unwrap();
    let give = least_ns(50, 20_000, || {
        let descriptor = store.give(black_box(&object), peer).unwrap();
        store.take_back(peer, descriptor, 1).unwrap();
    });
    println!("give + take back {give:.1} ns");
    let foreign = Foreign::new(Arc::new(Nothing));
    store.extents(|id, file, bytes| foreign.add_extent(peer, id, file, bytes).unwrap());
    let descriptor = object.descriptor();
    let open = least_ns(50, 20_000, || {
        black_box(foreign.open(peer, black_box(descriptor)).unwrap().as_ptr());
    });
    println!("open a descriptor + drop {open:.1} ns");
    for bytes in [64 << 10, MIB, 16 * MIB, 64 * MIB] {
        let make = least_ns(20, 1000, || {
            drop(black_box(arena.create(bytes).unwrap().seal()))
        });
        println!("{bytes:9} B: create+seal+drop {make:6.1} ns");
    }
    let common = least_ns(50, 20_000, || {
        drop(black_box(store.put(black_box(&[7; 64])).unwrap()))
    });
    println!("   64 B: put+drop by a thread without an arena {common:.1} ns");
}

#[test]
#[ignore = "prints times"]
fn large_copies() {
    for (pages, huge) in [
        (PageKind::Plain, HugePages::Off),
        (PageKind::Huge2MiB, HugePages::Require),
    ] {
        let mut config = StoreConfig::new(448 * MIB);
        config.huge_pages = huge;
        let Ok(store) = Store::new(config) else {
            println!("skipped: not so many {pages:?} pages");
            continue;
        };
        let arena = store.arena();
        for bytes in [16 * MIB, 64 * MIB, 128 * MIB] {
            let from = vec![7u8; bytes];
            let mut object = arena.create(bytes).unwrap();
            store.settle();
            // In turn into the same pages, so that whatever else the machine does hits all of them.
            let mut least = [f64::MAX; 3];
            for _ in 0..12 {
                let plain = least_ns(1, 1, || object.copy_from_slice(black_box(&from)));
                let stream = least_ns(1, 1, || copy::stream(&mut object, black_box(&from)));
                drop(object);
                let put = least_ns(1, 1, || {
                    drop(black_box(arena.put(black_box(&from)).unwrap()))
                });
                object = arena.create(bytes).unwrap();
                for (least, ns) in least.iter_mut().zip([put, stream, plain]) {
                    *least = least.min(ns);
                }
            }
            let [put, stream, plain] = least.map(|ns| bytes as f64 / ns);
            println!(
                "{pages:?} {:3} MiB: put {put:5.2} GB/s, streamed {stream:5.2}, memcpy {plain:5.2}; \
                 put is {:.3} of streamed",
                bytes / MIB,
                put / stream
            );
        }
    }
}
