//! Every peer does its work and its results are right; a peer that cannot start here says why.

use maser_bench::harness::{Contender, Context, Cores, Effort, Offer, Peer, Shape};
use maser_bench::link::{Batch100, Many, ManyRoundTrip, OneWay, RoundTrip};
use maser_bench::peers::{
    ActorCross, ActorLocal, ActorPipelined, Crossbeam, Disruptor, ForkJoin, Glommio, Monoio, Rtrb,
    RtrbChunks, ScopeSpawn, SpawnBatch, SpawnJoin,
};

/// Runs one small window of each on a thread of its own (a context pins its thread).
fn run_all(peers: impl FnOnce(&Context) -> Vec<Peer> + Send + 'static) {
    std::thread::spawn(|| {
        let context = Context::start(Effort::quick()).expect("a context");
        let shape = Shape {
            warm: 1,
            batches: 3,
            batch: 200,
        };
        for mut peer in peers(&context) {
            match &mut peer.contender {
                Ok(contender) => {
                    let samples = context
                        .window(contender.as_mut(), shape)
                        .expect("right answers");
                    assert_eq!(samples.len(), 3, "{}", peer.name);
                    assert!(
                        samples.iter().all(|&ns| ns > 0.0),
                        "{}: {samples:?}",
                        peer.name
                    );
                }
                Err(skip) => {
                    assert!(skip.0.starts_with(peer.name), "{}", skip.0);
                    eprintln!("skipped: {}", skip.0);
                }
            }
        }
    })
    .join()
    .expect("no panic");
}

fn offered<C: Contender + 'static>(name: &'static str, offer: Offer<C>) -> Peer {
    Peer::offered(name, offer)
}

#[test]
fn rings_between_two_cores_lose_nothing() {
    if Cores::usable().expect("a mask").count() < 2 {
        eprintln!("skipped: needs 2 cores");
        return;
    }
    run_all(|_| {
        vec![
            Peer::of(RoundTrip::<Rtrb>::default()),
            Peer::of(RoundTrip::<Disruptor>::default()),
            Peer::of(RoundTrip::<Crossbeam>::default()),
            Peer::of(OneWay::<Rtrb>::default()),
            Peer::of(OneWay::<RtrbChunks>::default()),
            Peer::of(OneWay::<Disruptor>::default()),
            Peer::of(OneWay::<Crossbeam>::default()),
            Peer::of(Batch100::<RtrbChunks>::default()),
            Peer::of(Batch100::<Disruptor>::default()),
            Peer::of(Many::<Crossbeam>::default()),
            Peer::of(ManyRoundTrip::<Crossbeam>::default()),
        ]
    });
}

#[test]
fn tasks_and_actors_on_one_core_give_their_results() {
    run_all(|context| {
        vec![
            offered("tokio", SpawnJoin::new()),
            offered("tokio", SpawnBatch::new(10)),
            offered("tokio", ActorLocal::new()),
            offered("tokio", ActorPipelined::new(8, false)),
            offered("monoio", Monoio::new(1)),
            offered("monoio", Monoio::new(10)),
            offered("glommio", Glommio::new(1)),
            offered("glommio", Glommio::new(10)),
            offered("rayon", ScopeSpawn::new(context)),
            offered("rayon", ForkJoin::new(context)),
        ]
    });
}

#[test]
fn actors_across_cores_give_their_results() {
    if Cores::usable().expect("a mask").count() < 2 {
        eprintln!("skipped: needs 2 cores");
        return;
    }
    run_all(|_| {
        vec![
            offered("tokio", ActorCross::new()),
            offered("tokio", ActorPipelined::new(8, true)),
        ]
    });
}
