//! The device: opened once by a process, whoever uses it, with one protection domain, so that memory which
//! one end registered serves all ends. And the port of it that an end uses.
//!
//! - IB-1 a domain lives until the last queue pair, completion queue and registration in it is gone: each has
//!   a handle of it, and gives itself back first.
//! - IB-2 before the first registration the process is made fit for fork (`ibv_fork_init`): else pages that a
//!   device writes are copied for the parent when it writes them after a fork, and the device goes on
//!   writing those that the child has. Kernels since 5.12 copy for the child, the library knows, and the call
//!   costs nothing there. Older ones refuse memory in huge pages then, unless `RDMAV_HUGEPAGES_SAFE=1` is in
//!   the environment of the process.
//! - IB-3 events of the device are read and given back: it would wait for them when it is closed.

use super::gid::{self, Gid};
use super::options::{RdmaError, RdmaOptions};
use maser_rdma_sys::*;
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::mem::zeroed;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Addresses of a port that are looked at.
const MAX_GIDS: i32 = 64;
/// `IBV_LINK_LAYER_ETHERNET`, which the header has without a type.
const LINK_LAYER_ETHERNET: u8 = 2;

/// See the module's page.
pub(super) struct Domain {
    pub(super) verbs: &'static Verbs,
    pub(super) context: NonNull<ibv_context>,
    pub(super) pd: NonNull<ibv_pd>,
    pub(super) name: String,
    pub(super) attributes: ibv_device_attr,
    /// The device said that it is beyond repair.
    is_dead: AtomicBool,
    pub(super) registered: Mutex<super::memory::Cache>,
}

// SAFETY: calls of the library may come from any thread.
unsafe impl Send for Domain {}
// SAFETY: as above.
unsafe impl Sync for Domain {}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: IB-1.
        unsafe {
            self.verbs.ibv_dealloc_pd(self.pd.as_ptr());
            self.verbs.ibv_close_device(self.context.as_ptr());
        }
    }
}

/// What a call of the library that gives an errno says.
pub(super) fn outcome(returned: i32) -> io::Result<()> {
    match returned {
        0 => Ok(()),
        // Most give it, some set it.
        -1 => Err(io::Error::last_os_error()),
        error => Err(io::Error::from_raw_os_error(error.abs())),
    }
}

/// What a call of the library that gives a pointer says.
pub(super) fn made<T>(returned: *mut T) -> io::Result<NonNull<T>> {
    NonNull::new(returned).ok_or_else(io::Error::last_os_error)
}

/// Devices that are open.
static OPEN: Mutex<Vec<(String, Weak<Domain>)>> = Mutex::new(Vec::new());

impl Domain {
    /// The device that the options name, and its port.
    pub(super) fn open(options: &RdmaOptions) -> Result<(Arc<Self>, Port), RdmaError> {
        let verbs = maser_rdma_sys::verbs()?;
        let devices = Devices::list(verbs)?;
        let mut refused = None;
        for (name, device) in devices.chosen(options.device.as_deref())? {
            let opened = Self::shared(verbs, &name, device)
                .and_then(|domain| Ok((Port::choose(&domain, options)?, domain)));
            match opened {
                Ok((port, domain)) => return Ok((domain, port)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| no_device("an empty list".into())))
    }

    /// The one that is open already, or another.
    fn shared(
        verbs: &'static Verbs,
        name: &str,
        device: NonNull<ibv_device>,
    ) -> Result<Arc<Self>, RdmaError> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, domain)| domain.strong_count() > 0);
        let found = open.iter().find(|(found, _)| found == name);
        if let Some(domain) = found.and_then(|(_, domain)| domain.upgrade()) {
            return Ok(domain);
        }
        let domain = Arc::new(Self::new(verbs, name, device)?);
        open.push((name.to_owned(), Arc::downgrade(&domain)));
        Ok(domain)
    }

    fn new(
        verbs: &'static Verbs,
        name: &str,
        device: NonNull<ibv_device>,
    ) -> Result<Self, RdmaError> {
        let failed = |call, source| RdmaError::Device {
            call,
            device: name.to_owned(),
            source,
        };
        // SAFETY: a device of the list, which is there; what was made is given back where a later call fails.
        unsafe {
            // IB-2. Refused where somebody registered memory before: it is not ours to mend then.
            let _outcome = verbs.ibv_fork_init();
            let context = made(verbs.ibv_open_device(device.as_ptr()))
                .map_err(|error| failed("ibv_open_device", error))?;
            let mut attributes = zeroed();
            let asked = outcome(verbs.ibv_query_device(context.as_ptr(), &raw mut attributes));
            let pd = asked
                .map_err(|error| failed("ibv_query_device", error))
                .and_then(|()| {
                    made(verbs.ibv_alloc_pd(context.as_ptr()))
                        .map_err(|error| failed("ibv_alloc_pd", error))
                });
            let pd = match pd {
                Ok(pd) => pd,
                Err(error) => {
                    verbs.ibv_close_device(context.as_ptr());
                    return Err(error);
                }
            };
            let domain = Self {
                verbs,
                context,
                pd,
                name: name.to_owned(),
                attributes,
                is_dead: AtomicBool::new(false),
                registered: Mutex::default(),
            };
            if attributes.atomic_cap == IBV_ATOMIC_NONE {
                return Err(RdmaError::Unfit {
                    device: name.to_owned(),
                    lacks: "adds to no words of peers".into(),
                });
            }
            // IB-3: where it cannot be looked at without waiting, nobody looks.
            let events = BorrowedFd::borrow_raw(context.as_ref().async_fd);
            if rustix::io::ioctl_fionbio(events, true).is_err() {
                return Err(failed("ioctl(FIONBIO)", io::Error::last_os_error()));
            }
            Ok(domain)
        }
    }

    /// What a failed call of the library is told as.
    pub(super) fn failed(&self, call: &'static str, source: io::Error) -> RdmaError {
        RdmaError::Device {
            call,
            device: self.name.clone(),
            source,
        }
    }

    /// Reads what the device tells (IB-3); whether it still works.
    pub(super) fn is_alive(&self) -> bool {
        // SAFETY: the context lives; an event that was got is given back.
        unsafe {
            let mut event = zeroed();
            while self
                .verbs
                .ibv_get_async_event(self.context.as_ptr(), &raw mut event)
                == 0
            {
                if event.event_type == IBV_EVENT_DEVICE_FATAL {
                    self.is_dead.store(true, Ordering::Relaxed);
                }
                self.verbs.ibv_ack_async_event(&raw mut event);
            }
        }
        // Nothing else is told by it.
        !self.is_dead.load(Ordering::Relaxed)
    }
}

/// What the library lists.
struct Devices {
    verbs: &'static Verbs,
    list: NonNull<*mut ibv_device>,
    all: Vec<(String, NonNull<ibv_device>)>,
}

impl Drop for Devices {
    fn drop(&mut self) {
        // SAFETY: as the library made it; devices that were opened stay.
        unsafe { self.verbs.ibv_free_device_list(self.list.as_ptr()) };
    }
}

fn no_device(problem: String) -> RdmaError {
    let names = fs::read_dir("/sys/class/infiniband").map(|folder| {
        let names = folder.flatten().map(|entry| entry.file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(", ")
    });
    let kernel = match names {
        Ok(names) if !names.is_empty() => format!("has {names}"),
        Ok(_) => "is empty".into(),
        Err(_) => "is not there: the kernel has no RDMA".into(),
    };
    RdmaError::NoDevice { problem, kernel }
}

impl Devices {
    fn list(verbs: &'static Verbs) -> Result<Self, RdmaError> {
        let mut count = 0;
        // SAFETY: a list of `count` devices, each of which has a name.
        unsafe {
            let list = made(verbs.ibv_get_device_list(&raw mut count))
                .map_err(|error| no_device(error.to_string()))?;
            let mut devices = Self {
                verbs,
                list,
                all: Vec::new(),
            };
            for at in 0..usize::try_from(count).unwrap_or(0) {
                if let Some(device) = NonNull::new(*list.as_ptr().add(at)) {
                    let name = CStr::from_ptr(verbs.ibv_get_device_name(device.as_ptr()));
                    devices
                        .all
                        .push((name.to_string_lossy().into_owned(), device));
                }
            }
            match devices.all.is_empty() {
                true => Err(no_device("an empty list".into())),
                false => Ok(devices),
            }
        }
    }

    fn chosen(&self, asked: Option<&str>) -> Result<Vec<(String, NonNull<ibv_device>)>, RdmaError> {
        let Some(asked) = asked else {
            return Ok(self.all.clone());
        };
        let found = self.all.iter().find(|(name, _)| name == asked).cloned();
        let found = found.ok_or_else(|| RdmaError::OtherDevice {
            asked: asked.to_owned(),
            found: names(&self.all),
        })?;
        Ok(vec![found])
    }
}

fn names(all: &[(String, NonNull<ibv_device>)]) -> String {
    let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
    names.join(", ")
}

/// The port that an end uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) number: u8,
    /// As [`Hello`](super::hello::Hello) has it.
    pub(super) mtu: u8,
    pub(super) lid: u16,
    pub(super) gid: Gid,
    /// Packets have a global address.
    pub(super) is_global: bool,
    /// Bytes of the longest request.
    pub(super) max_request_bytes: u32,
}

impl Port {
    fn choose(domain: &Domain, options: &RdmaOptions) -> Result<Self, RdmaError> {
        let limit = match options.mtu_bytes {
            None => 5,
            Some(bytes) => (1..=5)
                .find(|mtu| 128 << mtu == bytes)
                .ok_or(RdmaError::Mtu { bytes })?,
        };
        let mut found = Vec::new();
        for number in 1..=domain.attributes.phys_port_cnt {
            if options.port.is_some_and(|wanted| wanted != number) {
                continue;
            }
            // SAFETY: the library fills the front of it.
            let port = unsafe {
                let mut port: ibv_port_attr = zeroed();
                outcome(domain.verbs.ibv_query_port(
                    domain.context.as_ptr(),
                    number,
                    (&raw mut port).cast(),
                ))
                .map_err(|error| domain.failed("ibv_query_port", error))?;
                port
            };
            if port.state != IBV_PORT_ACTIVE {
                found.push(format!("port {number}: state {}", port.state));
                continue;
            }
            let is_global = port.link_layer == LINK_LAYER_ETHERNET || port.lid == 0;
            return Ok(Self {
                number,
                mtu: limit.min(port.active_mtu.clamp(1, 5) as u8),
                lid: port.lid,
                gid: domain.gid(number, port.gid_tbl_len, options.gid_index)?,
                is_global,
                max_request_bytes: port.max_msg_sz.min(1 << 30),
            });
        }
        Err(RdmaError::NoPort {
            device: domain.name.clone(),
            ports: match found.is_empty() {
                true => "it has no such port".into(),
                false => found.join(", "),
            },
        })
    }
}

impl Domain {
    fn gid(&self, port: u8, count: i32, wanted: Option<u32>) -> Result<Gid, RdmaError> {
        let all: Vec<Gid> = match wanted {
            Some(index) => self.gid_at(port, index).into_iter().collect(),
            None => (0..count.min(MAX_GIDS) as u32)
                .filter_map(|index| self.gid_at(port, index))
                .collect(),
        };
        gid::best(&all).ok_or_else(|| RdmaError::NoAddress {
            device: self.name.clone(),
            port,
            asked: wanted.map_or_else(String::new, |index| format!(" number {index}")),
        })
    }

    fn gid_at(&self, port: u8, index: u32) -> Option<Gid> {
        let mut gid = ibv_gid { raw: [0; 16] };
        // SAFETY: the context lives, and the address is the library's to fill; all its bits are bytes.
        let raw = unsafe {
            let context = self.context.as_ptr();
            let asked = self
                .verbs
                .ibv_query_gid(context, port, index as i32, &raw mut gid);
            (asked == 0).then_some(gid.raw)?
        };
        if raw == [0; 16] {
            return None;
        }
        let name = &self.name;
        let of_type = format!("/sys/class/infiniband/{name}/ports/{port}/gid_attrs/types/{index}");
        // InfiniBand has no types.
        let is_version_2 = fs::read_to_string(of_type).is_ok_and(|text| text.contains("v2"));
        Some(Gid {
            index,
            raw,
            is_version_2,
        })
    }
}
