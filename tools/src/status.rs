//! `maser status`: which transports this host has, which would be chosen and why, and what running
//! processes chose.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use maser_transport::select::{
    self, Host, Offer, Opened, Preference, SelectError, SelectOptions, Selection, Transports,
    VARIABLE, Way,
};
use maser_transport::tcp::TcpOptions;
use maser_transport::wire::{Identity, Role};
use maser_transport::{Address, Capabilities, TransportKind};
use serde::Serialize;
use serde_json::Value;

/// How long a process may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// A host that is only spoken of: addresses of documentation.
const ELSEWHERE: &str = "192.0.2.1:1";

/// One transport of this host.
#[derive(Serialize)]
struct Found {
    name: &'static str,
    is_there: bool,
    /// What it can do, or why it is not there, and what to do about it.
    found: String,
}

/// All that is told.
#[derive(Serialize)]
struct Status {
    transports: Vec<Found>,
    preference: Preference,
    /// Whether `MASER_TRANSPORT` is set.
    is_forced: bool,
    within_the_host: Selection,
    between_hosts: Selection,
    processes: Vec<Value>,
}

/// Looks, and prints it. Ends with 0, with 1 if a transport that `MASER_TRANSPORT` asks for is not there or
/// none is, with 2 if the variable makes no sense.
pub fn main(is_json: bool) -> ExitCode {
    let preference = match Preference::from_environment(|name| std::env::var(name).ok()) {
        Ok(preference) => preference,
        Err(error) => {
            eprintln!("maser status: {error}");
            return ExitCode::from(2);
        }
    };
    let status = match look(preference) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("maser status: {error}");
            return ExitCode::FAILURE;
        }
    };
    let text = match is_json {
        true => serde_json::to_string_pretty(&status).map(|json| json + "\n"),
        false => Ok(rendered(&status)),
    };
    let written = text
        .map_err(io::Error::from)
        .and_then(|text| io::stdout().lock().write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("maser status: cannot write: {error}");
            ExitCode::FAILURE
        }
        _ => match missing(&status) {
            Some(reason) => {
                eprintln!("maser status: {reason}");
                ExitCode::FAILURE
            }
            None => ExitCode::SUCCESS,
        },
    }
}

/// What keeps programs from starting with these transports.
fn missing(status: &Status) -> Option<String> {
    let absent = |kind: &&TransportKind| {
        let of_kind = |one: &&Found| one.name == kind.name() && !one.is_there;
        status.transports.iter().any(|one| of_kind(&one))
    };
    let mut asked = status.preference.kinds().iter();
    if status.is_forced {
        return asked
            .find(absent)
            .map(|kind| format!("{VARIABLE} asks for {kind}, which is not there"));
    }
    asked
        .all(|kind| absent(&kind))
        .then(|| "no transport is there".into())
}

fn options(preference: Preference) -> SelectOptions {
    let tcp = TcpOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        identity: Identity {
            job: [0; 16],
            node: 0,
            role: Role::Node,
        },
        integrity: None,
        epoch: 0,
        secret: None,
        peer_timeout: Duration::from_secs(10),
        handshake_timeout: Duration::from_secs(10),
    };
    SelectOptions::all(preference, tcp)
}

/// Opens one transport alone, and says what it is like.
fn probe(kind: TransportKind) -> Opened {
    let opened = Preference::forced(kind.name())
        .map_err(SelectError::from)
        .and_then(|alone| Transports::open(&options(alone)));
    let outcome = match opened {
        Ok(set) => Ok(set
            .abilities(kind)
            .map_or(Capabilities::empty(), |(capabilities, _)| capabilities)),
        Err(SelectError::NotThere { reason, .. }) => Err(reason),
        Err(error) => Err(error.to_string()),
    };
    Opened { kind, outcome }
}

fn look(preference: Preference) -> Result<Status, Box<dyn std::error::Error>> {
    let opened = Preference::ORDER.map(probe);
    let host = Host::own()?;
    let found = opened.iter().map(|one| Found {
        name: one.kind.name(),
        is_there: one.outcome.is_ok(),
        found: match &one.outcome {
            Ok(capabilities) => format!("{capabilities:?}")
                .trim_start_matches("Capabilities(")
                .trim_end_matches(')')
                .to_lowercase()
                .replace('_', " ")
                .replace(" | ", ", "),
            Err(reason) => reason.clone(),
        },
    });
    // A peer with the same transports.
    let mut ways = Vec::new();
    for one in &opened {
        if let Ok(capabilities) = one.outcome {
            ways.push(Way {
                address: Address::new(one.kind, ELSEWHERE)?,
                capabilities,
            });
        }
    }
    let near = Offer { host, ways };
    let far = Offer {
        host: Host {
            boot: !host.boot,
            ..host
        },
        ..near.clone()
    };
    let decide = |offer: &Offer| Selection::decide(&opened, &host, offer, &preference);
    let (within_the_host, between_hosts) = (decide(&near), decide(&far));
    let processes = select::processes(ANSWER_LIMIT)?;
    let process = |one: select::Process| {
        let said = one.text.and_then(|text| serde_json::from_str(&text).ok());
        said.unwrap_or_else(|| serde_json::json!({ "pid": one.pid, "answers": false }))
    };
    Ok(Status {
        transports: found.collect(),
        within_the_host,
        between_hosts,
        processes: processes.into_iter().map(process).collect(),
        is_forced: preference.is_forced(),
        preference,
    })
}

fn rendered(status: &Status) -> String {
    let mut text = String::from("transports of this host\n");
    for one in &status.transports {
        let mark = if one.is_there { "there " } else { "ABSENT" };
        text += &format!("  {:<5} {mark}  {}\n", one.name, one.found);
    }
    text += &match status.is_forced {
        true => format!("\n{VARIABLE} allows {}\n", status.preference),
        false => format!("\n{VARIABLE} is not set: {}\n", status.preference),
    };
    text += &format!("\nwithin this host: {}\n", status.within_the_host);
    text += &format!(
        "\nbetween hosts that are as this one: {}\n",
        status.between_hosts
    );
    text += &format!(
        "\n{} running\n",
        counted(
            status.processes.len(),
            "set of transports",
            "sets of transports"
        )
    );
    for process in &status.processes {
        text += &of_process(process);
    }
    text
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What a process said, which is input.
fn of_process(said: &Value) -> String {
    let pid = &said["pid"];
    let Some(connections) = said["connections"].as_array() else {
        return format!("  process {pid} does not answer: it polls nothing, or is stuck\n");
    };
    let mut text = format!(
        "  process {pid}: {} joined, {} accepted\n",
        said["joined"], said["accepted"]
    );
    for one in connections {
        let candidates = one["selection"]["candidates"].as_array();
        let reasons: Vec<_> = candidates
            .into_iter()
            .flatten()
            .filter_map(|one| {
                let text = |field: &str| one[field].as_str();
                Some(format!(
                    "{} {}: {}",
                    text("kind")?,
                    text("verdict")?,
                    text("reason")?
                ))
            })
            .collect();
        let kind = one["kind"].as_str().unwrap_or("?");
        text += &format!("    {kind}  ({})\n", reasons.join("; "));
    }
    text
}
