//! Errors of tasks: what every get and every task fed by them sees.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser::{Cause, Error, Ref, TaskError};
use maser_tests::{both_ways, quiet, with_runtime};

use crate::support::Refused;

#[maser::task]
fn refuse(x: u64) -> Result<u64, Refused> {
    Err(Refused(x))
}

#[maser::task]
fn fall(with: u8) -> u64 {
    match with {
        0 => panic!("fallen"),
        1 => panic!("fallen {}", "formatted"),
        2 => std::panic::panic_any(7_u8),
        _ => u64::from(with),
    }
}

#[maser::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[maser::task]
fn borrow(x: &u64) -> u64 {
    *x
}

fn task_error<T: std::fmt::Debug>(result: maser::Result<T>) -> TaskError {
    match result {
        Err(Error::Task(error)) => error,
        other => panic!("a task's error was expected: {other:?}"),
    }
}

/// `function argument` from the awaited function down.
fn chain(error: &TaskError) -> Vec<String> {
    let frames = error.chain().iter();
    frames
        .map(|frame| match frame.argument {
            Some(argument) => format!("{} {argument}", frame.function),
            None => frame.function.clone(),
        })
        .collect()
}

#[test]
fn an_error_surfaces_at_every_get_with_the_users_own_value() {
    both_ways(quiet(2), |_| {
        let refused = refuse::remote(7);
        for other in [refused.clone(), refused.clone(), refused] {
            let error = task_error(other.get());
            assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(7)));
            assert!(error.downcast_ref::<std::io::Error>().is_none());
            assert!(matches!(error.cause(), Cause::Returned(_)));
            assert_eq!(error.function(), "refuse");
            assert_eq!(error.actor(), None);
            assert_eq!(
                error.source().map(ToString::to_string),
                Some("refused: 7".into())
            );
            let text = error.to_string();
            assert!(
                text.contains("refuse failed") && text.contains("refused: 7"),
                "{text}"
            );
        }
        Ok(())
    });
}

#[test]
fn an_error_goes_through_every_task_it_feeds_and_the_chain_names_them() {
    both_ways(quiet(2), |_| {
        let refused = refuse::remote(7);
        let sum = add::remote(1, &refused);
        let borrowed = borrow::remote(&sum);
        let last = add::remote(borrowed, 2);
        let error = task_error(last.get());
        assert_eq!(chain(&error), ["add 0", "borrow 0", "add 1", "refuse"]);
        assert_eq!(error.function(), "refuse");
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(7)));
        let text = error.to_string();
        assert!(
            text.contains("add argument 0 <- borrow argument 0 <- add argument 1 <- refuse"),
            "{text}"
        );
        assert_eq!(chain(&task_error(sum.get())), ["add 1", "refuse"]);
        Ok(())
    });
}

#[test]
fn of_two_arguments_that_failed_the_first_one_is_named() {
    both_ways(quiet(2), |_| {
        let error = task_error(add::remote(refuse::remote(1), refuse::remote(2)).get());
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(1)));
        assert_eq!(chain(&error), ["add 0", "refuse"]);
        Ok(())
    });
}

#[test]
fn a_function_whose_argument_failed_is_not_run() {
    #[maser::task(local)]
    fn count(ran: Arc<AtomicUsize>, _: u64) {
        ran.fetch_add(1, Ordering::Relaxed);
    }
    both_ways(quiet(2), |_| {
        let ran = Arc::new(AtomicUsize::new(0));
        assert!(count::remote(ran.clone(), refuse::remote(1)).get().is_err());
        assert_eq!(ran.load(Ordering::Relaxed), 0);
        Ok(())
    });
}

#[test]
fn a_panic_is_an_error_with_its_message_and_place() {
    both_ways(quiet(2), |_| {
        for (with, expected) in [(0, "fallen"), (1, "fallen formatted"), (2, "not a string")] {
            let fallen = fall::remote(with);
            for _ in 0..2 {
                let error = task_error(fallen.get());
                let Cause::Panicked { message, location } = error.cause() else {
                    panic!("it panicked: {error}")
                };
                assert!(message.contains(expected), "{message}");
                assert!(location.contains("errors.rs:"), "{location}");
                assert_eq!(error.function(), "fall");
            }
            let fed = task_error(borrow::remote(fallen).get());
            assert_eq!(chain(&fed), ["borrow 0", "fall"]);
        }
        assert_eq!(fall::remote(9).get()?, 9, "schedulers go on");
        Ok(())
    });
}

#[test]
fn an_error_that_a_task_passes_on_by_question_mark_keeps_its_origin() {
    #[maser::task]
    fn outer() -> maser::Result<u64> {
        let inner: Ref<u64> = refuse::remote(3);
        Ok(inner.get()? + 1)
    }
    #[maser::task]
    fn outermost() -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        Ok(outer::remote().get()?)
    }
    both_ways(quiet(2), |_| {
        let error = task_error(outermost::remote().get());
        assert_eq!(chain(&error), ["outermost", "outer", "refuse"]);
        assert_eq!(error.downcast_ref::<Refused>(), Some(&Refused(3)));
        Ok(())
    });
}

#[test]
fn an_error_that_a_task_unwraps_is_a_panic_of_that_task() {
    #[maser::task]
    fn unwraps() -> u64 {
        refuse::remote(3).get().unwrap()
    }
    both_ways(quiet(2), |_| {
        let error = task_error(unwraps::remote().get());
        assert_eq!(error.function(), "unwraps");
        assert!(
            matches!(error.cause(), Cause::Panicked { message, .. } if message.contains("Refused(3)"))
        );
        Ok(())
    });
}

#[test]
fn a_task_may_handle_the_error_of_another() {
    #[maser::task]
    fn handles(x: u64) -> u64 {
        match refuse::remote(x).get() {
            Err(error) => error
                .downcast_ref::<Refused>()
                .map_or(0, |refused| refused.0),
            Ok(_) => 0,
        }
    }
    both_ways(quiet(2), |_| {
        let refs: Vec<_> = (1..50).map(handles::remote).collect();
        assert_eq!(maser::get(&refs)?, (1..50).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn the_given_name_stands_in_errors() {
    both_ways(quiet(2), |_| {
        let error = task_error(refuse::options().name("the second step").remote(1).get());
        assert!(error.to_string().contains("the second step"), "{error}");
        Ok(())
    });
}

#[test]
fn the_list_of_errors_names_each_failure_once_and_keeps_the_newest() {
    both_ways(quiet(2).error_log_len(3), |_| {
        for x in 0..5 {
            let refused = refuse::remote(x);
            // Passed on, it is no new failure.
            assert!(add::remote(&refused, 1).get().is_err());
            assert!(refused.get().is_err());
        }
        let messages: Vec<_> = maser::error_info()?
            .into_iter()
            .map(|event| event.message)
            .collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        for (message, x) in messages.iter().zip(2..) {
            assert!(message.contains(&format!("refused: {x}")), "{messages:?}");
        }
        Ok(())
    });
    with_runtime(quiet(1).error_log_len(0), |_| {
        assert!(refuse::remote(1).get().is_err());
        assert!(maser::error_info().expect("it runs").is_empty());
    });
}
