//! `maser perf`: what a transport does between two ends, seen by who uses it.
//!
//! One end serves (`--listen`), the other one names it and asks for tests; `--local` is both in one
//! process. Both drive the same [`Line`](line::Line).
//!
//! | file | holds |
//! |---|---|
//! | [`arguments`] | the command line, and what follows from it |
//! | [`spec`] | what one row of the report measures |
//! | [`dialogue`] | what the ends tell each other about it |
//! | [`opening`] | transports and addresses by name |
//! | [`mod@line`] | an end that is polled, or slept with |
//! | [`target`] | the memory and the requests of a test |
//! | [`stream`] | as many requests as fit, one after the other |
//! | [`client`], [`server`] | the two ends |
//! | [`report`] | rows, as a table and as JSON |
//! | [`error`] | why there is no figure |
//!
//! - QP-1 parameters and regions travel as control messages; all else that travels is what is measured.
//! - QP-2 what the other end says is input: a spec is checked by both ends before memory is taken for it.
//! - QP-3 a row stands for work that was done: lengths of messages, their number, the bytes that were
//!   written or read and the sums of words are compared, and a difference is an error.
//! - QP-4 latencies of messages and puts are half of a round trip, those of gets and atomics are from
//!   posting to completion; a rate counts until the peer has everything.

mod arguments;
mod client;
mod dialogue;
mod error;
mod line;
mod opening;
mod report;
mod server;
mod spec;
mod stream;
mod target;

pub use arguments::Arguments;

use arguments::{Ends, Plan};
use client::Client;
use error::PerfError;
use maser_bench::harness::Cores;
use maser_transport::Address;
use maser_transport::loopback::Network;
use opening::{Opening, text_of};
use report::Report;
use server::Server;
use std::process::ExitCode;
use std::sync::mpsc::channel;

/// Runs the command line: 0, 1 if there is no figure, 2 if the arguments make no sense.
pub fn main(arguments: &Arguments) -> ExitCode {
    let outcome = arguments.plan().and_then(|plan| match &plan.ends {
        Ends::Listen(listen) => serve(&plan, listen),
        Ends::Client(address) => measure(&plan, &plan.opening, address),
        Ends::Local => both(&plan),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("maser perf: {error}");
            ExitCode::from(if error.is_of_the_arguments() { 2 } else { 1 })
        }
    }
}

/// Takes the calling thread to a CPU.
fn pin(cpu: Option<usize>) -> Result<(), PerfError> {
    let Some(cpu) = cpu else {
        return Ok(());
    };
    let cores = Cores::usable().map_err(|error| PerfError::Cpu {
        cpu,
        problem: error.to_string(),
    })?;
    let found = (0..cores.count()).find(|&index| cores.id(index) == Some(cpu));
    let index = found.ok_or_else(|| PerfError::Cpu {
        cpu,
        problem: format!("{} CPUs may be used, and it is none of them", cores.count()),
    })?;
    cores.pin(index).map_err(|error| PerfError::Cpu {
        cpu,
        problem: error.to_string(),
    })
}

fn serve(plan: &Plan, listen: &str) -> Result<(), PerfError> {
    pin(plan.cpu)?;
    let mut server = Server::new(plan.opening.open(listen)?, plan.is_once);
    println!("listening on {}", text_of(&server.address()));
    server.serve()
}

fn measure(plan: &Plan, opening: &Opening, address: &Address) -> Result<(), PerfError> {
    pin(plan.cpu)?;
    let transport = opening.open_client()?;
    let mut client = Client::connect(transport, address, plan.timeout)?;
    let mut report = Report::new(plan.is_json, &client.peer(address), plan);
    for spec in &plan.specs {
        let row = client.measure(spec)?;
        report.add(row);
    }
    client.close();
    report.end();
    Ok(())
}

/// Both ends, each on a thread and a CPU of its own.
fn both(plan: &Plan) -> Result<(), PerfError> {
    let opening = Opening {
        network: Network::new(),
        ..plan.opening.clone()
    };
    let (here, there) = plan.two_cpus();
    let (ready, is_ready) = channel();
    let listen = opening.listen_here();
    let served = opening.clone();
    let server = std::thread::spawn(move || -> Result<(), PerfError> {
        pin(there)?;
        let mut server = Server::new(served.open(&listen)?, true);
        // Gone if the client failed, which says why.
        let _outcome = ready.send(server.address());
        server.serve()
    });
    let Ok(address) = is_ready.recv() else {
        return joined(server);
    };
    let mut plan = plan.clone();
    plan.cpu = here;
    // If it fails the server is left alone: it ends with the process.
    measure(&plan, &opening, &address)?;
    joined(server)
}

fn joined(server: std::thread::JoinHandle<Result<(), PerfError>>) -> Result<(), PerfError> {
    server
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
