//! From what was asked for to what holds: CF-1 to CF-3.

use super::knob::{self, KNOBS, Knob};
use super::{Config, ConfigError, HugePagesWanted, Origin, Settings, Timeout, parse};
use crate::topology;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Largest amount of a resource: far above any machine, and exact in a float to 1/10,000.
const MAX_QUANTITY: f64 = 1e9;

/// Longest timeout in seconds: 31 years, so that a deadline in nanoseconds stays in 64 bits.
const MAX_TIMEOUT_S: u64 = 1_000_000_000;

/// Linux's default of `vm.max_map_count`, where the machine does not tell.
const USUAL_MAX_MAP_COUNT: usize = 65_530;

/// Where the machine does not tell.
const USUAL_MEMORY_BYTES: u64 = 4 << 30;

/// Of each scheduler: what a program uses that sends large arrays around.
const USUAL_WARM_BYTES: usize = 1 << 30;

/// Less is no store.
const LEAST_STORE_BYTES: usize = 1 << 20;

/// What is wrong with a value, and what to do if it is not plain from the range.
struct Flaw {
    problem: String,
    remedy: Option<String>,
}

impl Flaw {
    fn outside(range: &str) -> Self {
        Self {
            problem: format!("must be {range}"),
            remedy: None,
        }
    }
}

/// Builder and environment, and the order between them.
struct Chooser<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl Chooser<'_> {
    /// The variable of `knob`, trimmed; `None` if it is not set (CF-2).
    fn text(&self, knob: &Knob) -> Option<String> {
        let text = (self.env)(knob.env)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// CF-1 for one knob, or `None` if nobody has set it. Both sides go through `check`.
    fn choose<T: Debug>(
        &self,
        knob: &Knob,
        builder: Option<T>,
        parse: impl FnOnce(&str) -> Result<T, parse::Problem>,
        check: impl FnOnce(&T) -> Result<(), Flaw>,
    ) -> Result<Option<T>, ConfigError> {
        let (value, text, origin) = match (builder, self.text(knob)) {
            (Some(value), _) => {
                let text = format!("{value:?}");
                (Ok(value), text, Origin::Builder)
            }
            (None, Some(text)) => (parse(&text), text, Origin::Env(knob.env)),
            (None, None) => return Ok(None),
        };
        value
            .map_err(|problem| Flaw {
                problem,
                remedy: None,
            })
            .and_then(|value| check(&value).map(|()| Some(value)))
            .map_err(|flaw| error(knob, knob.field.to_owned(), text, origin, flaw))
    }
}

fn error(
    knob: &Knob,
    field: String,
    value: String,
    origin: Origin,
    Flaw { problem, remedy }: Flaw,
) -> ConfigError {
    let remedy = remedy.unwrap_or_else(|| {
        format!(
            "take {}, or leave it unset for the default ({})",
            knob.range_with_unit(),
            knob.default
        )
    });
    ConfigError {
        field,
        value,
        origin,
        problem,
        remedy,
    }
}

fn between(range: RangeInclusive<usize>) -> impl FnOnce(&usize) -> Result<(), Flaw> {
    move |value| {
        let (low, high) = (range.start(), range.end());
        range
            .contains(value)
            .then_some(())
            .ok_or_else(|| Flaw::outside(&format!("between {low} and {high}")))
    }
}

#[allow(
    clippy::ptr_arg,
    reason = "the value of a knob, by reference like all of them"
)]
fn absolute(path: &PathBuf) -> Result<(), Flaw> {
    let is_absolute = path.is_absolute();
    is_absolute
        .then_some(())
        .ok_or_else(|| Flaw::outside("an absolute path"))
}

/// The older form's own check.
fn old_switch(pages: HugePagesWanted, has_directory: bool) -> Result<(), Flaw> {
    if pages != HugePagesWanted::Switch(true) || has_directory {
        return Ok(());
    }
    Err(Flaw {
        problem: "If huge_pages is True, then the plasma_directory argument must be provided."
            .to_owned(),
        remedy: Some(
            "set plasma_directory (huge_page_dir, MASER_HUGE_PAGE_DIR), or take huge_pages = \
             require, which needs no directory"
                .to_owned(),
        ),
    })
}

fn quantity(value: &f64) -> Result<(), Flaw> {
    // NaN is in no range.
    let inside = (0.0..=MAX_QUANTITY).contains(value);
    inside
        .then_some(())
        .ok_or_else(|| Flaw::outside(&format!("a finite amount between 0 and {MAX_QUANTITY}")))
}

fn any<T>(_: &T) -> Result<(), Flaw> {
    Ok(())
}

fn timeout(value: &Timeout) -> Result<(), Flaw> {
    match value.limit() {
        Some(limit) if limit > Duration::from_secs(MAX_TIMEOUT_S) => Err(Flaw {
            problem: format!("must be at most {MAX_TIMEOUT_S} seconds"),
            remedy: Some("for ever is Timeout::Never, or -1 in the environment".to_owned()),
        }),
        _ => Ok(()),
    }
}

fn resource_name(name: &str) -> Result<(), Flaw> {
    for (reserved, setter) in [("CPU", &knob::NUM_CPUS), ("GPU", &knob::NUM_GPUS)] {
        if name.eq_ignore_ascii_case(reserved) {
            return Err(Flaw {
                problem: format!("{reserved} is not a custom resource"),
                remedy: Some(format!("use {} or {}", setter.field, setter.env)),
            });
        }
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || "=,".contains(c);
    if name.is_empty() || name.contains(odd) {
        return Err(Flaw {
            problem: format!("{name:?} cannot name a resource"),
            remedy: Some("take a name that is not empty, without white space, = and ,".to_owned()),
        });
    }
    Ok(())
}

/// What the machine says about defaults and bounds.
pub(super) struct Machine {
    /// Asked only where it is needed.
    pub usable_parallelism: fn() -> usize,
    pub page_bytes: usize,
    pub max_map_count: Option<usize>,
    pub memory_bytes: Option<u64>,
}

impl Machine {
    fn this() -> Self {
        let max_map_count = std::fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok());
        Self {
            usable_parallelism: topology::usable_parallelism,
            page_bytes: rustix::param::page_size(),
            max_map_count,
            memory_bytes: maser_shm::os::memory::total_bytes(),
        }
    }

    /// Three tenths, for the rest belongs to the program.
    fn store_bytes(&self) -> usize {
        let memory = self.memory_bytes.unwrap_or(USUAL_MEMORY_BYTES);
        let share = usize::try_from(memory / 10 * 3).unwrap_or(usize::MAX);
        share.max(LEAST_STORE_BYTES)
    }

    fn check_bytes(&self, least: usize, bytes: &usize) -> Result<(), Flaw> {
        let most = self.memory_bytes.unwrap_or(u64::MAX);
        if *bytes >= least && *bytes as u64 <= most {
            return Ok(());
        }
        Err(Flaw {
            problem: format!(
                "must be between {least} and {most}, the memory of this machine or cgroup"
            ),
            remedy: None,
        })
    }

    /// A blocked task holds a stack and a guard page, which are two mappings; 1,024 stacks' worth
    /// is left to the rest of the program.
    fn max_blocked_tasks(&self) -> usize {
        let maps = self.max_map_count.unwrap_or(USUAL_MAX_MAP_COUNT);
        (maps / 2).saturating_sub(1024).clamp(1, 30_000)
    }

    fn check_blocked_tasks(&self, tasks: &usize) -> Result<(), Flaw> {
        let most = self
            .max_map_count
            .map_or(usize::MAX / 2, |maps| (maps / 2).max(1));
        if (1..=most).contains(tasks) {
            return Ok(());
        }
        let remedy = (*tasks > most).then(|| {
            let maps = tasks.saturating_add(1024).saturating_mul(2);
            format!("lower it, or run `sysctl vm.max_map_count={maps}`")
        });
        Err(Flaw {
            problem: format!("must be between 1 and {most}"),
            remedy,
        })
    }
}

impl Config {
    /// Puts builder, environment and defaults together. `env` answers with the value of a
    /// variable; [`Settings::unknown_env`] stays empty, because `env` cannot list what there is.
    ///
    /// # Errors
    ///
    /// The first knob whose value cannot be used.
    pub fn resolve(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Settings, ConfigError> {
        self.resolve_on(&Machine::this(), env)
    }

    /// [`resolve`](Config::resolve) with the process's own environment, unknown variables
    /// included.
    ///
    /// # Errors
    ///
    /// The first knob whose value cannot be used.
    pub fn resolve_from_env(&self) -> Result<Settings, ConfigError> {
        let mut settings = self.resolve(&|name| {
            // What is not Unicode becomes a value that no parser takes.
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })?;
        let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        settings.unknown_env = unknown(names);
        Ok(settings)
    }

    pub(super) fn resolve_on(
        &self,
        machine: &Machine,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Settings, ConfigError> {
        let from = Chooser { env };
        let seconds = |seconds| Timeout::After(Duration::from_secs(seconds));
        let waiting_time = |knob, builder, default| {
            let chosen = from.choose(knob, builder, parse::timeout, timeout)?;
            Ok(chosen.unwrap_or(seconds(default)))
        };
        let count = |knob, builder, range, default| {
            let chosen = from.choose(knob, builder, parse::whole, between(range))?;
            Ok(chosen.unwrap_or(default))
        };
        let switch = |knob, builder, default| {
            Ok(from
                .choose(knob, builder, parse::switch, any)?
                .unwrap_or(default))
        };

        let directory = |knob, builder: &Option<PathBuf>| {
            from.choose(knob, builder.clone(), parse::path, absolute)
        };
        let huge_page_dir = directory(&knob::HUGE_PAGE_DIR, &self.huge_page_dir)?;

        let num_cpus = from
            .choose(
                &knob::NUM_CPUS,
                self.num_cpus,
                parse::whole,
                between(1..=1024),
            )?
            .unwrap_or_else(|| (machine.usable_parallelism)().clamp(1, 1024));
        let stack_bytes = from
            .choose(
                &knob::STACK_BYTES,
                self.stack_bytes,
                parse::bytes,
                between(16 << 10..=1 << 30),
            )?
            .unwrap_or(256 << 10)
            .next_multiple_of(machine.page_bytes);
        let max_blocked_tasks = from
            .choose(
                &knob::MAX_BLOCKED_TASKS,
                self.max_blocked_tasks,
                parse::whole,
                |tasks| machine.check_blocked_tasks(tasks),
            )?
            .unwrap_or_else(|| machine.max_blocked_tasks());
        let spin = from.choose(&knob::SPIN, self.spin, parse::microseconds, |spin| {
            let inside = *spin <= Duration::from_secs(60);
            inside
                .then_some(())
                .ok_or_else(|| Flaw::outside("at most 60 s"))
        })?;

        let store_bytes = from
            .choose(
                &knob::STORE_BYTES,
                self.store_bytes,
                parse::bytes,
                |bytes| machine.check_bytes(LEAST_STORE_BYTES, bytes),
            )?
            .unwrap_or_else(|| machine.store_bytes());

        Ok(Settings {
            num_cpus,
            num_gpus: from
                .choose(&knob::NUM_GPUS, self.num_gpus, parse::real, quantity)?
                .unwrap_or(0.0),
            resources: self.resolve_resources(&from)?,
            mode: from
                .choose(&knob::MODE, self.mode, parse::mode, any)?
                .unwrap_or_default(),
            isolation: from
                .choose(&knob::ISOLATION, self.isolation, parse::isolation, |_| {
                    Ok(())
                })?
                .unwrap_or_default(),
            stack_bytes,
            max_blocked_tasks,
            pin: switch(&knob::PIN, self.pin, true)?,
            spin,
            graph_submit_timeout: waiting_time(
                &knob::GRAPH_SUBMIT_TIMEOUT,
                self.graph_submit_timeout,
                10,
            )?,
            graph_get_timeout: waiting_time(&knob::GRAPH_GET_TIMEOUT, self.graph_get_timeout, 10)?,
            graph_teardown_timeout: waiting_time(
                &knob::GRAPH_TEARDOWN_TIMEOUT,
                self.graph_teardown_timeout,
                30,
            )?,
            graph_max_inflight: count(
                &knob::GRAPH_MAX_INFLIGHT,
                self.graph_max_inflight,
                knob::MAX_INFLIGHT,
                10,
            )?,
            graph_max_buffered_results: count(
                &knob::GRAPH_MAX_BUFFERED_RESULTS,
                self.graph_max_buffered_results,
                knob::MAX_BUFFERED_RESULTS,
                1000,
            )?,
            graph_buffer_size_bytes: from
                .choose(
                    &knob::GRAPH_BUFFER_SIZE_BYTES,
                    self.graph_buffer_size_bytes,
                    parse::bytes,
                    between(knob::BUFFER_SIZE_BYTES),
                )?
                .unwrap_or(16 << 10),
            graph_overlap_communication: switch(
                &knob::GRAPH_OVERLAP_COMMUNICATION,
                self.graph_overlap_communication,
                false,
            )?,
            graph_stats: switch(&knob::GRAPH_STATS, self.graph_stats, false)?,
            graph_stats_every: count(
                &knob::GRAPH_STATS_EVERY,
                self.graph_stats_every,
                knob::STATS_EVERY,
                64,
            )?,
            graph_profile: switch(&knob::GRAPH_PROFILE, self.graph_profile, false)?,
            error_log_len: count(
                &knob::ERROR_LOG_LEN,
                self.error_log_len,
                0..=1_000_000,
                1000,
            )?,
            id_seed: from.choose(&knob::ID_SEED, self.id_seed, parse::seed, any)?,
            name_stack_overflows: switch(
                &knob::NAME_STACK_OVERFLOWS,
                self.name_stack_overflows,
                true,
            )?,
            store_bytes,
            store_warm_bytes: from
                .choose(
                    &knob::STORE_WARM_BYTES,
                    self.store_warm_bytes,
                    parse::bytes,
                    |bytes| machine.check_bytes(0, bytes),
                )?
                .unwrap_or_else(|| USUAL_WARM_BYTES.min(store_bytes / 2)),
            store_warm_time: waiting_time(&knob::STORE_WARM_TIME, self.store_warm_time, 10)?,
            huge_pages: from
                .choose(
                    &knob::HUGE_PAGES,
                    self.huge_pages,
                    parse::huge_pages,
                    |pages| old_switch(*pages, huge_page_dir.is_some()),
                )?
                .map(HugePagesWanted::pages)
                .unwrap_or_default(),
            spill_directory: directory(&knob::SPILL_DIRECTORY, &self.spill_directory)?,
            redirect_output: switch(&knob::REDIRECT_OUTPUT, self.redirect_output, false)?,
            worker_memory_bytes: from.choose(
                &knob::WORKER_MEMORY_BYTES,
                self.worker_memory_bytes,
                parse::bytes,
                |bytes| machine.check_bytes(crate::worker::limit::LEAST_BYTES, bytes),
            )?,
            session_dir: directory(&knob::SESSION_DIR, &self.session_dir)?,
            huge_page_dir,
            unknown_env: Vec::new(),
        })
    }

    /// CF-1 name by name.
    fn resolve_resources(&self, from: &Chooser) -> Result<BTreeMap<String, f64>, ConfigError> {
        let knob = &knob::RESOURCES;
        let mut resources = from
            .choose(knob, None, parse::resources, any)?
            .unwrap_or_default();
        let text = from.text(knob).unwrap_or_default();
        let check = |name: &str, amount: &f64| resource_name(name).and_then(|()| quantity(amount));
        for (name, amount) in &resources {
            check(name, amount).map_err(|flaw| {
                let field = format!("resource {name:?}");
                error(knob, field, text.clone(), Origin::Env(knob.env), flaw)
            })?;
        }
        for (name, amount) in &self.resources {
            check(name, amount).map_err(|flaw| {
                let field = format!("resource {name:?}");
                error(knob, field, format!("{amount:?}"), Origin::Builder, flaw)
            })?;
            resources.insert(name.clone(), *amount);
        }
        Ok(resources)
    }
}

/// The names that begin like a knob's and are none, in order.
pub(super) fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut unknown: Vec<String> = names
        .filter(|name| name.starts_with("MASER_"))
        .filter(|name| KNOBS.iter().all(|knob| knob.env != name))
        .collect();
    unknown.sort();
    unknown
}
