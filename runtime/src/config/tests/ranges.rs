//! Which values are taken, and what is said of the others.

use super::*;

#[test]
fn isolation_is_thread_or_process() {
    let settings = from_env("MASER_ISOLATION", "Process").expect("it is one of the two");
    assert_eq!(settings.isolation, Isolation::Process);
    refused(
        from_env("MASER_ISOLATION", "container"),
        "isolation",
        "not an isolation",
    );
}

#[test]
fn amounts_must_be_finite_and_not_negative() {
    for amount in [f64::NAN, f64::INFINITY, -0.5, 1e10] {
        refused(
            from_builder(Config::new().num_gpus(amount)),
            "num_gpus",
            "finite amount",
        );
        refused(
            from_builder(Config::new().resource("disk", amount)),
            "resource \"disk\"",
            "finite amount",
        );
        refused(
            from_env("MASER_NUM_GPUS", &amount.to_string()),
            "num_gpus",
            "finite amount",
        );
        refused(
            from_env("MASER_RESOURCES", &format!("disk={amount}")),
            "resource \"disk\"",
            "finite amount",
        );
    }
}

#[test]
fn cpu_and_gpu_are_not_custom_resources() {
    for (name, setter) in [("CPU", "num_cpus"), ("gpu", "num_gpus")] {
        let field = format!("resource {name:?}");
        let built = from_builder(Config::new().resource(name, 1.0));
        assert!(
            refused(built, &field, "not a custom resource")
                .remedy
                .contains(setter)
        );
        refused(
            from_env("MASER_RESOURCES", &format!("{name}=1")),
            &field,
            "not a custom",
        );
    }
}

#[test]
fn resource_names_can_be_written_in_the_environment() {
    for name in ["", "a b", "a=b", "a,b", "a\n"] {
        let field = format!("resource {name:?}");
        refused(
            from_builder(Config::new().resource(name, 1.0)),
            &field,
            "cannot name",
        );
    }
    refused(
        from_env("MASER_RESOURCES", "=1"),
        "resource \"\"",
        "cannot name",
    );
    refused(
        from_env("MASER_RESOURCES", "disk"),
        "resource",
        "not name=amount",
    );
    refused(
        from_env("MASER_RESOURCES", "disk=many"),
        "resource",
        "not a number",
    );
    refused(
        from_env("MASER_RESOURCES", "disk=1,disk=2"),
        "resource",
        "twice",
    );
}

#[test]
fn stacks_are_whole_pages_within_bounds() {
    let bytes = |bytes| from_builder(Config::new().stack_bytes(bytes));
    assert_eq!(bytes(16_385).expect("valid").stack_bytes, 20_480);
    assert_eq!(bytes(1 << 30).expect("valid").stack_bytes, 1 << 30);
    refused(bytes(16_383), "stack_bytes", "between 16384");
    refused(bytes(usize::MAX), "stack_bytes", "1073741824");
    refused(
        from_env("MASER_STACK_BYTES", "2GiB"),
        "stack_bytes",
        "1073741824",
    );
    refused(
        from_env("MASER_STACK_BYTES", "64 kB"),
        "stack_bytes",
        "number of bytes",
    );
    refused(
        from_env("MASER_STACK_BYTES", "99999999999999GiB"),
        "stack_bytes",
        "number of bytes",
    );
}

#[test]
fn blocked_tasks_are_bounded_by_the_mappings_the_kernel_allows() {
    let resolve = |max_map_count, config: Config| {
        let machine = Machine {
            max_map_count,
            ..machine()
        };
        config.resolve_on(&machine, &|_| None)
    };
    let default = |maps| {
        resolve(maps, Config::new())
            .expect("default")
            .max_blocked_tasks
    };
    assert_eq!(default(Some(1 << 20)), 30_000);
    assert_eq!(default(Some(10_000)), 3_976);
    assert_eq!(default(Some(100)), 1);
    assert_eq!(default(None), 30_000);

    let error = refused(
        resolve(Some(10_000), Config::new().max_blocked_tasks(5_001)),
        "max_blocked_tasks",
        "between 1 and 5000",
    );
    assert!(error.remedy.contains("vm.max_map_count=12050"), "{error}");
    refused(
        resolve(None, Config::new().max_blocked_tasks(0)),
        "max_blocked_tasks",
        "between 1",
    );
}

#[test]
fn timeouts_are_seconds_or_for_ever() {
    let get = |text| from_env("MASER_CGRAPH_GET_TIMEOUT", text).map(|s| s.graph_get_timeout);
    assert_eq!(get("-1.0"), Ok(Timeout::Never));
    assert_eq!(get("1e-3"), Ok(Timeout::After(Duration::from_millis(1))));
    for text in ["-2", "NaN", "inf", "1e300", "10s"] {
        let error = get(text).expect_err("not a number of seconds");
        assert_eq!(error.field, "graph_get_timeout", "{error}");
    }
    let error = from_builder(Config::new().graph_submit_timeout(Duration::MAX));
    assert!(
        refused(error, "graph_submit_timeout", "at most")
            .remedy
            .contains("Never")
    );
    assert_eq!(Timeout::from(None).limit(), None);
    assert_eq!(
        Timeout::After(Duration::from_millis(1500)).to_string(),
        "1.5s"
    );
}

#[test]
fn counts_of_graphs_and_spins_are_bounded() {
    let config = Config::new();
    refused(
        from_builder(config.clone().graph_max_inflight(0)),
        "graph_max_inflight",
        "between 1",
    );
    refused(
        from_builder(config.clone().graph_max_buffered_results(0)),
        "graph_max_buffered_results",
        "between 1",
    );
    refused(
        from_builder(config.clone().error_log_len(2_000_000)),
        "error_log_len",
        "between 0",
    );
    refused(
        from_builder(config.spin(Duration::from_secs(61))),
        "spin",
        "at most 60 s",
    );
    refused(from_env("MASER_SPIN_US", "-1"), "spin", "microseconds");
    refused(
        from_env("MASER_ID_SEED", "18446744073709551616"),
        "id_seed",
        "64-bit",
    );
}

#[test]
fn the_ranges_that_graphs_have_in_common_with_knobs_are_written_as_they_are() {
    for (knob, range) in [
        (&knob::GRAPH_MAX_INFLIGHT, MAX_INFLIGHT),
        (&knob::GRAPH_MAX_BUFFERED_RESULTS, MAX_BUFFERED_RESULTS),
        (&knob::GRAPH_STATS_EVERY, STATS_EVERY),
    ] {
        let written = format!("{} to {}", range.start(), range.end());
        assert_eq!(knob.range, written, "{}", knob.field);
    }
}

#[test]
fn remedies_read_like_sentences() {
    let remedy = |name| from_env(name, "nonsense").expect_err("nonsense").remedy;
    let default = "or leave it unset for the default";
    for (name, sentence) in [
        ("MASER_NUM_CPUS", "take 1 to 1024 schedulers"),
        ("MASER_STACK_BYTES", "take 16KiB to 1GiB"),
        (
            "MASER_RESOURCES",
            "take name=amount,name=amount; amounts from 0 to 1000000000",
        ),
        (
            "MASER_CGRAPH_GET_TIMEOUT",
            "take 0 to 1000000000 seconds, fractions allowed, or -1 for ever",
        ),
        (
            "MASER_MAX_BLOCKED_TASKS",
            "take 1 to vm.max_map_count / 2 tasks",
        ),
        ("MASER_PIN", "take true or false"),
    ] {
        let remedy = remedy(name);
        assert!(
            remedy.starts_with(&format!("{sentence}, {default}")),
            "{name}: {remedy}"
        );
    }
}

#[test]
fn the_store_fits_into_memory() {
    for bytes in [(1 << 20) - 1, (10 << 30) + 1] {
        let error = refused(
            from_builder(Config::new().store_bytes(bytes)),
            "store_bytes",
            "must be between 1048576 and 10737418240",
        );
        assert!(error.remedy.contains("30 % of memory"), "{error}");
    }
    let settings = from_env("MASER_STORE_BYTES", "512MiB").expect("it fits");
    assert_eq!(settings.store_bytes, 512 << 20);
}

#[test]
fn huge_pages_of_older_programs_need_a_directory() {
    let text = "If huge_pages is True, then the plasma_directory argument must be provided.";
    refused(
        from_builder(Config::new().huge_pages(true)),
        "huge_pages",
        text,
    );
    refused(from_env("MASER_HUGE_PAGES", "true"), "huge_pages", text);
    let both = [
        ("MASER_HUGE_PAGES", "true"),
        ("MASER_HUGE_PAGE_DIR", "/mnt/huge"),
    ];
    let settings = resolve(&Config::new(), &both).expect("it has its directory");
    assert_eq!(settings.huge_pages, HugePages::Require);
    let settings = from_builder(Config::new().huge_pages(HugePages::Require));
    assert_eq!(
        settings.expect("no directory").huge_pages,
        HugePages::Require
    );
    let settings = from_env("MASER_HUGE_PAGES", "false").expect("a switch");
    assert_eq!(settings.huge_pages, HugePages::Off);
    refused(
        from_env("MASER_HUGE_PAGES", "perhaps"),
        "huge_pages",
        "none of auto, require and off",
    );
}

#[test]
fn directories_are_absolute() {
    refused(
        from_builder(Config::new().spill_directory("spill")),
        "spill_directory",
        "an absolute path",
    );
    refused(
        from_env("MASER_HUGE_PAGE_DIR", "huge"),
        "huge_page_dir",
        "an absolute path",
    );
}
