//! Compiled graphs whose steps run in processes of their own: what one sees of them.

use maser::prelude::*;
use maser::{StallReport, StalledStep, StepWait};
use std::time::Duration;

use crate::graph_actors::{here, in_runtime, there};

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn step<'a>(report: &'a StallReport, label: &str) -> &'a StalledStep {
    let steps = report.runs.iter().flat_map(|run| &run.steps);
    let mut found = steps.filter(|step| step.step == label);
    found
        .next()
        .unwrap_or_else(|| panic!("no {label} in {report}"))
}

#[test]
fn a_stall_in_another_process_names_step_actor_and_process() {
    in_runtime(1, || {
        let (slow, after) = (there(0), here(1));
        let graph = Graph::new(|x: Node<u64>| after.add().bind(slow.sleep().bind(x))).compile()?;
        let result = graph.execute(700)?;
        // Its first look at the clock is when somebody waits, so this is a lower bound.
        let error = result.get_timeout(Duration::from_millis(400)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("run 0 waits for #1 Station::sleep on Station#"),
            "{text}"
        );
        assert!(text.contains(" in worker "), "{text}");
        let report = graph.stalls();
        let waits = step(&report, "#2 Station::add");
        assert!(matches!(waits.wait, StepWait::ForValue { .. }), "{report}");
        assert_eq!(
            step(&report, "#1 Station::sleep").wait,
            StepWait::Runs,
            "{report}"
        );
        assert_eq!(result.get()?, 701);
        assert!(graph.stalls().runs.is_empty());
        graph.teardown()
    });
}

#[test]
fn a_process_that_is_stopped_need_not_answer_for_the_report() {
    in_runtime(1, || {
        let far = there(1);
        let graph = Graph::new(|x: Node<u64>| (far.add().bind(x), far.pid().bind(x))).compile()?;
        let (sum, pid) = graph.execute(1)?;
        let (sum, pid) = (sum.get()?, pid.get()?);
        assert_eq!(sum, 2);
        signal(pid, rustix::process::Signal::STOP);
        let (sum, _pid) = graph.execute(2)?;
        let error = sum.get_timeout(Duration::from_millis(50)).unwrap_err();
        let report = graph.stalls();
        signal(pid, rustix::process::Signal::CONT);
        assert!(
            error
                .to_string()
                .contains("run 1 waits for #1 Station::add"),
            "{error}"
        );
        let stuck = step(&report, "#1 Station::add");
        assert!(stuck.process.is_some(), "{report}");
        assert_eq!(sum.get()?, 3);
        graph.teardown()
    });
}
