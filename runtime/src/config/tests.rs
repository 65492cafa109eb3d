//! Precedence, ranges, messages; and that no text makes reading panic.

use super::resolve::{Machine, unknown};
use super::*;
use proptest::prelude::*;

fn machine() -> Machine {
    Machine {
        usable_parallelism: || 3,
        page_bytes: 4096,
        max_map_count: Some(65_530),
    }
}

fn resolve(config: &Config, vars: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    config.resolve_on(&machine(), &|name| {
        vars.iter()
            .find(|(var, _)| *var == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

fn from_env(name: &str, value: &str) -> Result<Settings, ConfigError> {
    resolve(&Config::new(), &[(name, value)])
}

fn from_builder(config: Config) -> Result<Settings, ConfigError> {
    resolve(&config, &[])
}

#[track_caller]
fn refused(result: Result<Settings, ConfigError>, field: &str, problem: &str) -> ConfigError {
    let error = result.expect_err("a wrong value");
    assert_eq!(error.field, field);
    assert!(error.problem.contains(problem), "{error}");
    assert!(!error.remedy.is_empty());
    error
}

#[test]
fn defaults_are_what_the_documents_say() {
    let settings = from_builder(Config::new()).expect("defaults");
    let ten_s = Timeout::After(Duration::from_secs(10));
    let expected = Settings {
        num_cpus: 3,
        num_gpus: 0.0,
        resources: BTreeMap::new(),
        mode: Mode::Script,
        isolation: Isolation::Thread,
        stack_bytes: 262_144,
        max_blocked_tasks: 30_000,
        pin: true,
        spin: None,
        graph_submit_timeout: ten_s,
        graph_get_timeout: ten_s,
        graph_teardown_timeout: Timeout::After(Duration::from_secs(30)),
        graph_max_inflight: 10,
        graph_max_buffered_results: 1000,
        error_log_len: 1000,
        id_seed: None,
        name_stack_overflows: true,
        unknown_env: Vec::new(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn every_variable_sets_its_field() {
    let vars = [
        ("MASER_NUM_CPUS", "1024"),
        ("MASER_NUM_GPUS", "0.5"),
        ("MASER_RESOURCES", " disk = 2 , net=0.25,"),
        ("MASER_MODE", "Inline"),
        ("MASER_ISOLATION", "thread"),
        ("MASER_STACK_BYTES", "1MiB"),
        ("MASER_MAX_BLOCKED_TASKS", "32765"),
        ("MASER_PIN", "off"),
        ("MASER_SPIN_US", "2.5"),
        ("MASER_CGRAPH_SUBMIT_TIMEOUT", "0.25"),
        ("MASER_CGRAPH_GET_TIMEOUT", "-1"),
        ("MASER_CGRAPH_TEARDOWN_TIMEOUT", "0"),
        ("MASER_CGRAPH_MAX_INFLIGHT", "32"),
        ("MASER_CGRAPH_MAX_BUFFERED_RESULTS", "7"),
        ("MASER_ERROR_LOG_LEN", "0"),
        ("MASER_ID_SEED", "0xff"),
        ("MASER_NAME_STACK_OVERFLOWS", "0"),
    ];
    assert_eq!(vars.len(), KNOBS.len(), "a new knob belongs in this test");
    let expected = Settings {
        num_cpus: 1024,
        num_gpus: 0.5,
        resources: BTreeMap::from([("disk".to_owned(), 2.0), ("net".to_owned(), 0.25)]),
        mode: Mode::Inline,
        isolation: Isolation::Thread,
        stack_bytes: 1 << 20,
        max_blocked_tasks: 32_765,
        pin: false,
        spin: Some(Duration::from_nanos(2_500)),
        graph_submit_timeout: Timeout::After(Duration::from_millis(250)),
        graph_get_timeout: Timeout::Never,
        graph_teardown_timeout: Timeout::After(Duration::ZERO),
        graph_max_inflight: 32,
        graph_max_buffered_results: 7,
        error_log_len: 0,
        id_seed: Some(255),
        name_stack_overflows: false,
        unknown_env: Vec::new(),
    };
    assert_eq!(resolve(&Config::new(), &vars), Ok(expected));
}

#[test]
fn the_builder_wins_over_the_environment() {
    let garbage: Vec<(&str, &str)> = KNOBS
        .iter()
        .map(|knob| knob.env)
        .filter(|&env| env != "MASER_RESOURCES")
        .map(|env| (env, "garbage"))
        .collect();
    let config = Config::new()
        .num_workers(5)
        .num_gpus(1.0)
        .mode(Mode::Silent)
        .isolation(Isolation::Thread)
        .stack_bytes(16 << 10)
        .max_blocked_tasks(9)
        .pin(false)
        .spin(Duration::from_micros(1))
        .graph_submit_timeout(Duration::from_secs(1))
        .graph_get_timeout(Timeout::Never)
        .graph_teardown_timeout(None)
        .graph_max_inflight(2)
        .graph_max_buffered_results(3)
        .error_log_len(4)
        .id_seed(6)
        .name_stack_overflows(false);
    let settings = resolve(&config, &garbage).expect("CF-1: no variable was looked at");
    assert_eq!(settings.num_cpus, 5);
    assert_eq!(settings.num_gpus, 1.0);
    assert_eq!(settings.mode, Mode::Silent);
    assert_eq!(settings.stack_bytes, 16 << 10);
    assert_eq!(settings.max_blocked_tasks, 9);
    assert!(!settings.pin && !settings.name_stack_overflows);
    assert_eq!(settings.spin, Some(Duration::from_micros(1)));
    assert_eq!(
        settings.graph_submit_timeout,
        Timeout::After(Duration::from_secs(1))
    );
    assert_eq!(settings.graph_get_timeout, Timeout::Never);
    assert_eq!(settings.graph_teardown_timeout, Timeout::Never);
    assert_eq!(
        (
            settings.graph_max_inflight,
            settings.graph_max_buffered_results
        ),
        (2, 3)
    );
    assert_eq!((settings.error_log_len, settings.id_seed), (4, Some(6)));
}

#[test]
fn custom_resources_are_merged_by_name() {
    let config = Config::new()
        .resource("disk", 1.0)
        .resource("disk", 3.0)
        .resource("x", 0.0);
    let settings = resolve(&config, &[("MASER_RESOURCES", "disk=9,net=2")]).expect("valid");
    let expected = [("disk", 3.0), ("net", 2.0), ("x", 0.0)];
    let expected = expected.map(|(name, amount)| (name.to_owned(), amount));
    assert_eq!(settings.resources, BTreeMap::from(expected));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    for knob in KNOBS {
        assert_eq!(
            from_env(knob.env, "  "),
            from_builder(Config::new()),
            "CF-2: {}",
            knob.env
        );
    }
}

#[test]
fn every_variable_is_checked_and_named() {
    for knob in KNOBS {
        let error = from_env(knob.env, "nonsense").expect_err("no knob takes this");
        assert_eq!(error.field, knob.field, "CF-3");
        assert_eq!(error.origin, Origin::Env(knob.env));
        assert_eq!(error.value, "nonsense");
    }
}

#[test]
fn the_message_names_field_value_origin_range_and_remedy() {
    assert_eq!(
        from_env("MASER_NUM_CPUS", "0")
            .expect_err("zero")
            .to_string(),
        "num_cpus = 0 (from MASER_NUM_CPUS): must be between 1 and 1024; take 1 to 1024 \
         schedulers, or leave it unset for the default (usable parallelism)"
    );
    assert_eq!(
        from_builder(Config::new().num_cpus(1025))
            .expect_err("too many")
            .to_string(),
        "num_cpus = 1025 (set by the program): must be between 1 and 1024; take 1 to 1024 \
         schedulers, or leave it unset for the default (usable parallelism)"
    );
}

#[test]
fn process_isolation_is_refused_and_the_one_available_named() {
    let error = refused(
        from_builder(Config::new().isolation(Isolation::Process)),
        "isolation",
        "not available",
    );
    assert!(error.remedy.contains("thread"));
    refused(
        from_env("MASER_ISOLATION", "process"),
        "isolation",
        "not available",
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
fn unknown_variables_are_listed_with_the_knob_they_resemble() {
    let names = [
        "PATH",
        "MASER_PIN",
        "MASER_NUM_CPU",
        "MASER_COLOUR",
        "AMASER_X",
    ];
    let mut settings = from_builder(Config::new()).expect("defaults");
    assert_eq!(settings.unknown_env_notice(), None);
    settings.unknown_env = unknown(names.into_iter().map(str::to_owned));
    assert_eq!(settings.unknown_env, ["MASER_COLOUR", "MASER_NUM_CPU"]);
    assert_eq!(
        settings.unknown_env_notice().expect("two names"),
        "unknown variables have no effect: MASER_COLOUR, MASER_NUM_CPU (did you mean \
         MASER_NUM_CPUS?)"
    );
}

#[test]
fn the_environment_of_this_process_resolves() {
    let settings = Config::new()
        .num_cpus(2)
        .resolve_from_env()
        .expect("no knob is set wrong");
    assert_eq!(settings.num_cpus, 2);
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(at in 0..KNOBS.len(), text in "\\PC{0,40}") {
        // CF-4; what is taken must be in range, so resolving it again through the builder holds.
        if let Ok(settings) = from_env(KNOBS[at].env, &text) {
            prop_assert!((1..=1024).contains(&settings.num_cpus));
            prop_assert!(settings.num_gpus >= 0.0 && settings.num_gpus.is_finite());
            prop_assert!(settings.resources.values().all(|v| *v >= 0.0 && v.is_finite()));
        }
    }

    #[test]
    fn no_number_makes_reading_panic(
        at in 0..KNOBS.len(),
        text in "[+-]?[0-9]{0,25}(\\.[0-9]{0,12})?(e[+-]?[0-9]{1,4})?(KiB|MiB|GiB|x|,a=|=)?",
    ) {
        if let Ok(settings) = from_env(KNOBS[at].env, &text) {
            prop_assert!(settings.stack_bytes.is_multiple_of(4096));
            prop_assert!((16 << 10..=1 << 30).contains(&settings.stack_bytes));
            for timeout in [settings.graph_submit_timeout, settings.graph_get_timeout] {
                prop_assert!(timeout.limit() <= Some(Duration::from_secs(1_000_000_000)));
            }
        }
    }

    #[test]
    fn written_resources_are_read_back(
        amounts in prop::collection::btree_map("[a-z_.][a-z0-9_.-]{2,9}", 0.0..1e9, 0..6),
    ) {
        prop_assume!(!amounts.contains_key("cpu") && !amounts.contains_key("gpu"));
        let text: Vec<String> = amounts.iter().map(|(name, v)| format!("{name}={v}")).collect();
        let settings = from_env("MASER_RESOURCES", &text.join(",")).expect("valid");
        prop_assert_eq!(settings.resources, amounts);
    }
}
