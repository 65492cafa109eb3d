//! Precedence and messages; what all tests of the configuration share.

mod ranges;
mod text;

use super::resolve::{Machine, unknown};
use super::*;

fn machine() -> Machine {
    Machine {
        usable_parallelism: || 3,
        page_bytes: 4096,
        max_map_count: Some(65_530),
        memory_bytes: Some(10 << 30),
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
        graph_buffer_size_bytes: 16 << 10,
        graph_overlap_communication: false,
        graph_stats: false,
        graph_stats_every: 64,
        graph_profile: false,
        error_log_len: 1000,
        id_seed: None,
        name_stack_overflows: true,
        store_bytes: 3 << 30,
        store_warm_bytes: 1 << 30,
        store_warm_time: Timeout::After(Duration::from_secs(10)),
        huge_pages: HugePages::Auto,
        huge_page_dir: None,
        spill_directory: None,
        redirect_output: false,
        worker_memory_bytes: None,
        session_dir: None,
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
        ("MASER_CGRAPH_BUFFER_SIZE_BYTES", "1MiB"),
        ("MASER_CGRAPH_OVERLAP_COMMUNICATION", "1"),
        ("MASER_CGRAPH_STATS", "1"),
        ("MASER_CGRAPH_STATS_EVERY", "9"),
        ("MASER_CGRAPH_ENABLE_PROFILING", "true"),
        ("MASER_ERROR_LOG_LEN", "0"),
        ("MASER_ID_SEED", "0xff"),
        ("MASER_NAME_STACK_OVERFLOWS", "0"),
        ("MASER_STORE_BYTES", "2GiB"),
        ("MASER_STORE_WARM_BYTES", "0"),
        ("MASER_STORE_WARM_TIME", "-1"),
        ("MASER_HUGE_PAGES", "Require"),
        ("MASER_HUGE_PAGE_DIR", "/mnt/huge"),
        ("MASER_REDIRECT_OUTPUT", "true"),
        ("MASER_WORKER_MEMORY_BYTES", "64MiB"),
        ("MASER_SESSION_DIR", "/run/maser"),
        ("MASER_SPILL_DIRECTORY", "/scratch"),
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
        graph_buffer_size_bytes: 1 << 20,
        graph_overlap_communication: true,
        graph_stats: true,
        graph_stats_every: 9,
        graph_profile: true,
        error_log_len: 0,
        id_seed: Some(255),
        name_stack_overflows: false,
        store_bytes: 2 << 30,
        store_warm_bytes: 0,
        store_warm_time: Timeout::Never,
        huge_pages: HugePages::Require,
        huge_page_dir: Some("/mnt/huge".into()),
        spill_directory: Some("/scratch".into()),
        redirect_output: true,
        worker_memory_bytes: Some(64 << 20),
        session_dir: Some("/run/maser".into()),
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
        .graph_buffer_size_bytes(1 << 10)
        .graph_overlap_communication(true)
        .graph_stats(true)
        .graph_stats_every(5)
        .graph_profile(true)
        .error_log_len(4)
        .id_seed(6)
        .name_stack_overflows(false)
        .object_store_memory(1 << 20)
        .store_warm_bytes(7 << 20)
        .store_warm_time(Duration::from_millis(1))
        .huge_pages(true)
        .plasma_directory("/h")
        .spill_directory("/s")
        .redirect_output(true)
        .worker_memory_bytes(32 << 20)
        .session_dir("/d");
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
            settings.graph_max_buffered_results,
            settings.graph_buffer_size_bytes
        ),
        (2, 3, 1 << 10)
    );
    assert!(settings.graph_stats && settings.graph_profile);
    assert_eq!(settings.graph_stats_every, 5);
    assert_eq!((settings.error_log_len, settings.id_seed), (4, Some(6)));
    assert_eq!(
        (settings.store_bytes, settings.huge_pages),
        (1 << 20, HugePages::Require)
    );
    assert_eq!(settings.store_warm_bytes, 7 << 20);
    let warm_time = Timeout::After(Duration::from_millis(1));
    assert_eq!(settings.store_warm_time, warm_time);
    assert_eq!(settings.huge_page_dir, Some("/h".into()));
    assert_eq!(settings.spill_directory, Some("/s".into()));
    assert!(settings.redirect_output);
    assert_eq!(settings.session_dir, Some("/d".into()));
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
fn the_readme_has_a_row_for_every_knob() {
    let readme = include_str!("../../../../README.md");
    for Knob {
        field,
        env,
        unit,
        default,
        range,
        what,
    } in KNOBS
    {
        let row = format!("| `{field}` | `{env}` | {what} | {unit} | {range} | {default} |");
        assert!(readme.contains(&row), "README.md lacks this row:\n{row}");
    }
}

#[test]
fn unknown_variables_are_listed_with_the_knob_they_resemble() {
    let names = [
        "PATH",
        "MASER_PIN",
        "MASER_NUM_CPU",
        "MASER_COLOUR",
        "MASER_NUM_WORKERS",
        "AMASER_X",
    ];
    let mut settings = from_builder(Config::new()).expect("defaults");
    assert_eq!(settings.unknown_env_notice(), None);
    settings.unknown_env = unknown(names.into_iter().map(str::to_owned));
    assert_eq!(
        settings.unknown_env,
        ["MASER_COLOUR", "MASER_NUM_CPU", "MASER_NUM_WORKERS"]
    );
    assert_eq!(
        settings.unknown_env_notice().expect("two names"),
        "unknown variables have no effect: MASER_COLOUR, MASER_NUM_CPU (did you mean \
         MASER_NUM_CPUS?), MASER_NUM_WORKERS (did you mean MASER_NUM_CPUS?)"
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
