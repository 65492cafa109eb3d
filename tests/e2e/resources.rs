//! Demands: what is admitted, what waits, what is refused, and that everything is given back.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser::{Config, Error, Maser};
use maser_tests::{both_ways, quiet};

use crate::support::{Gate, Refused, gate};

/// How many are inside at once, now and at most.
#[derive(Clone, Debug, Default)]
struct Crowd(Arc<(AtomicUsize, AtomicUsize)>);

impl Crowd {
    fn pass(&self) {
        let inside = self.0.0.fetch_add(1, Ordering::AcqRel) + 1;
        self.0.1.fetch_max(inside, Ordering::AcqRel);
        for _ in 0..20 {
            maser::yield_now();
        }
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::Acquire)
    }
}

#[maser::task(local)]
fn pass(crowd: Crowd) {
    crowd.pass();
}

#[maser::task(local, num_gpus = 1)]
fn pass_with_gpu(crowd: Crowd) {
    crowd.pass();
}

#[maser::task(num_returns = 2)]
fn pair() -> (u8, u8) {
    (1, 2)
}

#[maser::task(stream)]
fn items() -> Vec<u8> {
    vec![1, 2]
}

fn everything_is_free(maser: &Maser) {
    let (total, free) = maser.resources();
    assert_eq!(free, total);
}

fn config() -> Config {
    quiet(2).num_gpus(1.0).resource("disk", 2.0)
}

#[test]
fn a_demand_that_can_never_be_met_is_an_error_that_names_it() {
    both_ways(config(), |maser| {
        let crowd = Crowd::default();
        let refused = [
            (
                pass::options().num_cpus(3).remote(crowd.clone()),
                "CPU",
                3.0,
                2.0,
                "num_cpus",
            ),
            (
                pass::options().num_gpus(1.5).remote(crowd.clone()),
                "GPU",
                1.5,
                1.0,
                "num_gpus",
            ),
            (
                pass::options().resource("disk", 2.5).remote(crowd.clone()),
                "disk",
                2.5,
                2.0,
                "disk",
            ),
            (
                pass::options().resource("tape", 1).remote(crowd.clone()),
                "tape",
                1.0,
                0.0,
                "tape",
            ),
        ];
        for (refused, name, more, there, remedy) in refused {
            let error = refused.get().expect_err("there is not so much");
            let Error::Infeasible {
                resource,
                asked,
                total,
                knob,
                ..
            } = &error
            else {
                panic!("{error}")
            };
            assert_eq!((resource.as_str(), *asked, *total), (name, more, there));
            assert!(knob.contains(remedy), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("pass asks for") && text.contains(remedy),
                "{text}"
            );
        }
        assert_eq!(crowd.most(), 0, "none ran");
        everything_is_free(maser);
        Ok(())
    });
}

#[test]
fn every_result_of_a_refused_task_says_why_it_was_refused() {
    both_ways(config(), |_| {
        let (one, two) = pair::options().num_cpus(3).remote();
        for error in [one.get(), two.get()] {
            assert!(matches!(error, Err(Error::Infeasible { .. })), "{error:?}");
        }
        let items: Vec<_> = items::options().num_gpus(9).remote().collect();
        assert_eq!(items.len(), 1);
        let error = items[0].get();
        assert!(matches!(error, Err(Error::Infeasible { .. })), "{error:?}");
        Ok(())
    });
}

#[test]
fn a_quantity_that_is_none_is_an_error() {
    both_ways(config(), |maser| {
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            let of_cpus = pass::options()
                .num_cpus(wrong)
                .remote(Crowd::default())
                .get();
            let of_disks = pass::options()
                .resource("disk", wrong)
                .remote(Crowd::default())
                .get();
            for error in [of_cpus, of_disks] {
                assert!(
                    matches!(error, Err(Error::InvalidArgument { .. })),
                    "{error:?}"
                );
            }
        }
        for taken in ["CPU", "GPU"] {
            let error = pass::options()
                .resource(taken, 1)
                .remote(Crowd::default())
                .get();
            assert!(
                matches!(error, Err(Error::InvalidArgument { .. })),
                "{error:?}"
            );
        }
        everything_is_free(maser);
        Ok(())
    });
}

#[test]
fn a_demand_that_cannot_be_counted_says_which_option_is_wrong() {
    both_ways(config(), |maser| {
        let task = pass::options;
        for (task, option, problem) in [
            (task().num_cpus(f64::NAN), "num_cpus", "NaN"),
            (task().num_cpus(0.00001), "num_cpus", "0.0001 or more"),
            (task().num_gpus(-1), "num_gpus", "-1"),
            (task().num_gpus(0.00009), "num_gpus", "0.0001 or more"),
            (task().resource("disk", 0.00001), "resource", "disk"),
            (task().resource("", 1), "resource", "names no resource"),
            (
                task().resource("disk", 1).resource("disk", 1),
                "resource",
                "\"disk\" is asked for twice",
            ),
        ] {
            let error = task.remote(Crowd::default()).get().expect_err("refused");
            assert!(
                matches!(error.root(), Error::InvalidArgument { argument, .. } if *argument == option),
                "{error:?}"
            );
            assert!(error.to_string().contains(problem), "{error}");
        }
        let least = pass::options().num_gpus(0.0001).resource("disk", 0);
        least.remote(Crowd::default()).get()?;
        everything_is_free(maser);
        Ok(())
    });
}

#[test]
fn tasks_that_need_the_only_gpu_run_one_after_the_other() {
    both_ways(config(), |maser| {
        let crowd = Crowd::default();
        let mut refs: Vec<_> = (0..10)
            .map(|_| pass_with_gpu::remote(crowd.clone()))
            .collect();
        refs.extend((0..10).map(|_| pass::options().num_gpus(1).remote(crowd.clone())));
        maser::get(&refs)?;
        assert_eq!(crowd.most(), 1);
        everything_is_free(maser);
        Ok(())
    });
}

#[test]
fn fractions_share_what_there_is() {
    both_ways(config(), |maser| {
        let crowd = Crowd::default();
        let refs: Vec<_> = (0..20)
            .map(|_| pass::options().num_gpus(0.5).remote(crowd.clone()))
            .collect();
        maser::get(&refs)?;
        assert!(crowd.most() <= 2, "{crowd:?}");
        let of_disks: Vec<_> = (0..20)
            .map(|_| {
                pass::options()
                    .resource("disk", 0.5)
                    .remote(Crowd::default())
            })
            .collect();
        maser::get(&of_disks)?;
        everything_is_free(maser);
        Ok(())
    });
}

#[test]
fn what_waits_is_admitted_in_order_of_arrival() {
    #[maser::task(local)]
    fn note(order: Arc<Mutex<Vec<usize>>>, number: usize) {
        order.lock().expect("no panic").push(number);
    }
    #[maser::task(local)]
    fn hold(gate: Gate) -> maser::Result<()> {
        drop(gate.lock()?);
        Ok(())
    }
    both_ways(config(), |maser| {
        let gate = gate();
        let closed = gate.lock()?;
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = hold::options().num_gpus(1).remote(gate.clone());
        let refs: Vec<_> = (0..20)
            .map(|number| note::options().num_gpus(1).remote(order.clone(), number))
            .collect();
        let (_, free) = maser.resources();
        assert_eq!(free["GPU"], 0.0);
        drop(closed);
        first.get()?;
        maser::get(&refs)?;
        assert_eq!(
            *order.lock().expect("no panic"),
            (0..20).collect::<Vec<_>>()
        );
        Ok(())
    });
}

#[test]
fn a_task_that_fails_gives_its_resources_back() {
    #[maser::task(num_gpus = 1)]
    fn fails(by_panic: bool) -> Result<(), Refused> {
        assert!(!by_panic, "on purpose");
        Err(Refused(1))
    }
    both_ways(config(), |maser| {
        let refs: Vec<_> = (0..10).map(|at| fails::remote(at % 2 == 0)).collect();
        for failed in refs {
            assert!(failed.get().is_err());
        }
        everything_is_free(maser);
        Ok(())
    });
}

#[maser::task(num_cpus = 2)]
fn parent(levels: u64) -> maser::Result<u64> {
    match levels {
        0 => Ok(0),
        // Each needs both CPUs, and its parent has them.
        _ => Ok(1 + parent::remote(levels - 1).get()?),
    }
}

#[test]
fn a_parent_that_waits_lends_its_cpus_to_its_children() {
    both_ways(config(), |maser| {
        assert_eq!(parent::remote(20).get()?, 20);
        everything_is_free(maser);
        Ok(())
    });
}

#[test]
fn a_parent_lends_its_cpus_in_every_kind_of_wait() {
    #[maser::task(num_cpus = 2)]
    fn child(x: u64) -> u64 {
        x
    }
    #[maser::task(num_cpus = 2)]
    fn waits() -> maser::Result<u64> {
        let limit = std::time::Duration::from_secs(3600);
        let children: Vec<_> = (0..3).map(child::remote).collect();
        let (ready, rest) = maser::wait(&children, 3, None)?;
        assert!(rest.is_empty());
        let by_limit = child::remote(10).get_timeout(limit)?;
        Ok(by_limit + maser::get(&ready)?.into_iter().sum::<u64>())
    }
    both_ways(config(), |maser| {
        assert_eq!(waits::remote().get()?, 13);
        everything_is_free(maser);
        Ok(())
    });
}

#[test]
fn gpus_are_not_lent() {
    #[maser::task(local, num_gpus = 1)]
    fn outer(crowd: Crowd) -> maser::Result<()> {
        // A task without demands, so that this one blocks while others wait for its GPU.
        pass::remote(Crowd::default()).get()?;
        crowd.pass();
        Ok(())
    }
    both_ways(config(), |_| {
        let crowd = Crowd::default();
        let refs: Vec<_> = (0..5).map(|_| outer::remote(crowd.clone())).collect();
        maser::get(&refs)?;
        assert_eq!(crowd.most(), 1);
        Ok(())
    });
}

struct Holder;

#[maser::actor(num_gpus = 1)]
impl Holder {
    fn new() -> Self {
        Holder
    }
    fn hello(&self) -> u8 {
        1
    }
}

#[test]
fn an_actor_keeps_its_resources_for_as_long_as_it_lives() {
    both_ways(config(), |maser| {
        let holder = Holder::remote();
        assert_eq!(holder.hello().remote().get()?, 1);
        assert_eq!(maser.resources().1["GPU"], 0.0);
        let waiting = pass_with_gpu::remote(Crowd::default());
        drop(holder);
        waiting.get()?;
        let killed = Holder::remote();
        assert_eq!(killed.hello().remote().get()?, 1, "the GPU is free again");
        maser::kill(&killed);
        pass_with_gpu::remote(Crowd::default()).get()?;
        everything_is_free(maser);
        let refused = Holder::options().num_gpus(2).remote();
        let error = refused.hello().remote().get();
        assert!(matches!(error, Err(Error::Infeasible { .. })), "{error:?}");
        Ok(())
    });
}
