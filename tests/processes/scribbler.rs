//! A worker that writes nonsense over all that it shares with the driver.

use maser::{Actor, Config, Error, Isolation, Mode};
use std::os::unix::fs::FileExt;
use std::time::Duration;

struct Scribbler;

#[maser::actor]
impl Scribbler {
    fn new() -> Self {
        Scribbler
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Writes `byte` over every shared mapping that this process may write.
    fn scribble(&self, byte: u8) {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let memory = std::fs::OpenOptions::new()
            .write(true)
            .open("/proc/self/mem")
            .unwrap();
        for line in maps.lines().filter(|line| line.contains("rw-s")) {
            let (range, _) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let start = u64::from_str_radix(start, 16).unwrap();
            let end = u64::from_str_radix(end, 16).unwrap();
            let nonsense = vec![byte; (end - start) as usize];
            drop(memory.write_at(&nonsense, start));
        }
    }
}

fn scribbler() -> Actor<Scribbler> {
    Scribbler::options().isolation(Isolation::Process).remote()
}

#[test]
fn a_worker_that_scribbles_over_shared_memory_harms_nobody_else() {
    let config = Config::new().num_cpus(2).mode(Mode::Silent);
    crate::run(config, |_| {
        let bystander = scribbler();
        let pid = bystander.pid().remote().get().unwrap();
        for byte in [0x00, 0x01, 0x7f, 0xff] {
            let mad = scribbler();
            mad.pid().remote().get().unwrap();
            // Whether this is answered is a matter of what was overwritten.
            drop(
                mad.scribble()
                    .remote(byte)
                    .get_timeout(Duration::from_secs(2)),
            );
            let next = mad.pid().remote().get_timeout(Duration::from_secs(2));
            if let Err(error) = next {
                let is_told = matches!(error, Error::ActorDied { .. }) || error.is_timeout();
                assert!(is_told, "{error}");
            }
            assert_eq!(bystander.pid().remote().get().unwrap(), pid);
        }
    })
    .unwrap();
}
