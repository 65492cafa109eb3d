//! The second process's own life.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use maser_shm::os::affinity;

use super::frame;
use super::partner::{Order, Reply, VARIABLE};
use super::setup::Serve;

/// If this process was started as the second one, is that and gives its exit code.
pub fn serve_partner() -> Option<ExitCode> {
    let core = std::env::var(VARIABLE).ok()?;
    Some(match work(&core) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{VARIABLE}: {why}");
            ExitCode::FAILURE
        }
    })
}

fn work(core: &str) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    // QX-3.
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill).map_err(|error| told(&error))?;
    let core = core.parse().map_err(|error| told(&error))?;
    affinity::pin(core).map_err(|error| told(&error))?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let socket = UnixStream::from(socket.map_err(|error| told(&error))?);
    let mut services: Vec<Box<dyn Serve>> = Vec::new();
    while let Some((order, files)) = frame::receive(&socket).map_err(|error| told(&error))? {
        let mut answered = Vec::new();
        let reply: Reply = match order {
            Order::Open(setup) => match setup.open(files) {
                Ok(service) => {
                    let said = service.said();
                    answered = service.files();
                    services.push(service);
                    Ok(said)
                }
                Err(why) => Err(why),
            },
            Order::Serve { service, calls } => match services.get_mut(service) {
                Some(service) => {
                    let begun: Reply = Ok(calls);
                    frame::send(&socket, &begun, &[]).map_err(|error| told(&error))?;
                    service.serve(calls)
                }
                None => Err(format!("there is no service {service}")),
            },
        };
        let answered: Vec<_> = answered.iter().map(AsFd::as_fd).collect();
        frame::send(&socket, &reply, &answered).map_err(|error| told(&error))?;
    }
    Ok(())
}
