//! From `init` to `init` again: what is refused when, and wrong configurations.

use std::collections::BTreeMap;
use std::time::Duration;

use maser::{Config, Error};
use maser_tests::{alone, both_ways, part, quiet, rerun_with};

use crate::program::{double, everything_is_refused};

#[test]
fn without_a_runtime_calls_are_refused_and_values_can_still_be_put() {
    alone(|| {
        everything_is_refused();
        assert_eq!(maser::put(5).get().expect("it is there"), 5);
        assert_eq!(maser::put(5).take().expect("it is there"), 5);
        let (ready, _) = maser::wait(&[maser::put(5)], 1, None).expect("it is there");
        assert_eq!(ready.len(), 1);
    });
    both_ways(quiet(2), |_| {
        assert_eq!(double::remote(1).get()?, 2);
        Ok(())
    });
    alone(everything_is_refused);
}

#[test]
fn a_second_runtime_is_refused_while_there_is_one() {
    #[maser::task]
    fn starts_another() -> bool {
        matches!(quiet(1).init(), Err(Error::AlreadyRunning))
    }
    both_ways(quiet(2), |_| {
        let error = quiet(1).init().map(drop).expect_err("there is one");
        assert!(matches!(error, Error::AlreadyRunning), "{error}");
        let error = maser::run(quiet(1), |_| ()).expect_err("there is one");
        assert!(matches!(error, Error::AlreadyRunning), "{error}");
        assert!(starts_another::remote().get()?);
        let elsewhere = std::thread::spawn(|| quiet(1).init().map(drop));
        assert!(matches!(
            elsewhere.join().expect("no panic"),
            Err(Error::AlreadyRunning)
        ));
        assert_eq!(double::remote(1).get()?, 2, "the first one is not touched");
        Ok(())
    });
}

#[test]
fn a_runtime_starts_again_after_shutdown_in_either_way() {
    alone(|| {
        maser::run(quiet(2), |_| ()).expect("it starts");
        let maser = quiet(3).init().expect("it starts");
        assert_eq!(double::remote(2).get().expect("it runs"), 4);
        maser.shutdown();
        maser::run(quiet(1), |maser| assert_eq!(maser.num_cpus(), 1)).expect("it starts");
        // One after the other in one main function.
        maser::run(quiet(2), |_| ()).expect("it starts");
    });
    alone(|| {
        maser::__private::run_main(|| {
            for schedulers in [2, 1, 3] {
                let maser = quiet(schedulers).init().expect("it starts");
                assert_eq!(maser.num_cpus(), schedulers);
                assert_eq!(double::remote(2).get().expect("it runs"), 4);
                drop(maser);
                everything_is_refused();
            }
        });
    });
    // The defaults are the same each time: the first one left its pins behind nowhere.
    alone(|| {
        let count = || maser::run(Config::new(), |maser| maser.num_cpus()).expect("it starts");
        let first = count();
        assert_eq!([count(), count()], [first; 2]);
    });
}

#[test]
fn wrong_configurations_name_their_field() {
    let wrong: BTreeMap<&str, Vec<Config>> = BTreeMap::from([
        ("num_cpus", vec![quiet(0), quiet(1025)]),
        (
            "num_gpus",
            vec![quiet(1).num_gpus(-1.0), quiet(1).num_gpus(f64::NAN)],
        ),
        (
            "resource",
            vec![
                quiet(1).resource("CPU", 1.0),
                quiet(1).resource("", 1.0),
                quiet(1).resource("a b", 1.0),
                quiet(1).resource("disk", -1.0),
            ],
        ),
        (
            "stack_bytes",
            vec![quiet(1).stack_bytes(1), quiet(1).stack_bytes(usize::MAX)],
        ),
        ("max_blocked_tasks", vec![quiet(1).max_blocked_tasks(0)]),
        ("spin", vec![quiet(1).spin(Duration::from_secs(61))]),
        ("graph_max_inflight", vec![quiet(1).graph_max_inflight(0)]),
        ("error_log_len", vec![quiet(1).error_log_len(usize::MAX)]),
    ]);
    alone(|| {
        for (field, configs) in wrong {
            for config in configs {
                let error = config.init().map(drop).expect_err("it is wrong");
                assert!(matches!(error, Error::Config(_)), "{error}");
                assert!(error.to_string().contains(field), "{field}: {error}");
            }
        }
        maser::run(quiet(1), |_| ()).expect("a right one starts after them");
    });
}

#[test]
fn the_environment_configures_what_the_program_leaves_open() {
    let name = "lifecycle::the_environment_configures_what_the_program_leaves_open";
    if let Some(part) = part() {
        let config = if part == "builder" {
            quiet(2)
        } else {
            Config::new()
        };
        let result = alone(|| maser::run(config, |maser| maser.num_cpus()));
        println!("result: {result:?}");
        return;
    }
    let result = |part: &str, variables: &[(&str, &str)]| {
        let output = rerun_with(name, part, variables);
        assert!(output.status.success(), "{output:?}");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    };
    let three = result("plain", &[("MASER_NUM_CPUS", "3")]);
    assert!(three.contains("result: Ok(3)"), "{three}");
    let two = result("builder", &[("MASER_NUM_CPUS", "3")]);
    assert!(two.contains("result: Ok(2)"), "{two}");
    let wrong = result("plain", &[("MASER_NUM_CPUS", "many")]);
    assert!(
        wrong.contains("result: Err") && wrong.contains("MASER_NUM_CPUS"),
        "{wrong}"
    );
    let unknown = result("plain", &[("MASER_NUM_CPU", "3")]);
    assert!(
        unknown.contains("did you mean MASER_NUM_CPUS?"),
        "{unknown}"
    );
}
