//! How long the store takes; prints figures and asserts no time. Run it by itself:
//! `cargo test --release -p maser-shm --test store_speed -- --ignored --nocapture`.
#![cfg(not(any(loom, miri)))]
#![allow(unsafe_code, reason = "writes mapped memory")]

use std::hint::black_box;
use std::time::Instant;

use maser_shm::os::shared_memory::PageKind;
use maser_shm::store::extent::Extent;
use maser_shm::store::{HugePages, Leave, Store, StoreConfig, copy};

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
            drop(arena.create(bytes).unwrap());
            store.settle();
            let put = least_ns(8, 1, || {
                drop(black_box(arena.put(black_box(&from)).unwrap()))
            });
            let mut object = arena.create(bytes).unwrap();
            let plain = least_ns(8, 1, || object.copy_from_slice(black_box(&from)));
            drop(object);
            arena.trim();
            let bare = Extent::create(bytes, pages).unwrap();
            bare.populate(0, bytes).unwrap();
            // SAFETY: this test alone uses the extent.
            let bare = unsafe { std::slice::from_raw_parts_mut(bare.start().as_ptr(), bytes) };
            let stream = least_ns(8, 1, || copy::stream(bare, black_box(&from)));
            let gbs = |ns: f64| bytes as f64 / ns;
            println!(
                "{pages:?} {:3} MiB: put {:5.2} GB/s, memcpy {:5.2}, stream into the bare pages {:5.2}",
                bytes / MIB,
                gbs(put),
                gbs(plain),
                gbs(stream)
            );
        }
    }
}
