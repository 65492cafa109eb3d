//! What a store may take, and of what kind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::events::StoreEvents;
use super::peer::PeerId;
use super::spill::Spill;
use crate::os::shared_memory::PageKind;

/// Whether objects lie in pages from the reserved pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HugePages {
    /// Where there are any; else plain pages and one notice.
    #[default]
    Auto,
    /// Without them it is an error.
    Require,
    /// Plain pages, huge ones where the kernel finds it fit.
    Off,
}

/// How the store of a process is to be.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Most bytes of all extents together.
    pub store_bytes: usize,
    /// Whether huge pages are used.
    pub huge_pages: HugePages,
    /// Which ones: 2 MiB or 1 GiB. Those of `huge_page_dir`, if that is set.
    pub huge_page: PageKind,
    /// A directory of huge pages (hugetlbfs) that they are taken from, for sites that hand them out
    /// so. Such files cannot be sealed: whoever was sent one can write and truncate it.
    pub huge_page_dir: Option<PathBuf>,
    /// The NUMA node whose memory is taken while it has any.
    pub numa_node: Option<u32>,
    /// Bytes of the first extent; each one after it is twice as large.
    pub extent_bytes_first: usize,
    /// Bytes of the largest extent that is not made for one object.
    pub extent_bytes_max: usize,
    /// Bytes of extents that an arena keeps although nothing lies in them, so that what comes next
    /// finds pages that are there. `Store::trim` gives them back, and so does a store that is short
    /// of memory.
    pub warm_bytes: usize,
    /// How long such extents stay that nothing is made in; at most twice as long. A thread of the
    /// store's own gives them back then. `None` is for ever.
    pub warm_time: Option<Duration>,
    /// Whether a thread of its own faults pages in before they are used.
    pub populate: bool,
    /// What extents are taken from, if other stores take from it as well; `store_bytes` holds beside
    /// it.
    pub budget: Option<Arc<dyn Budget>>,
    /// Who is told of extents and shortages.
    pub events: Option<Arc<dyn StoreEvents>>,
    /// Where cold objects go when there is no room.
    pub spill: Option<Arc<dyn Spill>>,
    /// Whose store it is; holders of its memory see this number.
    pub owner: PeerId,
}

impl StoreConfig {
    /// A store of at most `store_bytes`, else as users have it who say nothing.
    #[must_use]
    pub fn new(store_bytes: usize) -> Self {
        Self {
            store_bytes,
            huge_pages: HugePages::Auto,
            huge_page: PageKind::Huge2MiB,
            huge_page_dir: None,
            numa_node: None,
            extent_bytes_first: 2 << 20,
            extent_bytes_max: 64 << 20,
            warm_bytes: (1 << 30).min(store_bytes / 2),
            warm_time: None,
            populate: true,
            budget: None,
            events: None,
            spill: None,
            owner: PeerId(0),
        }
    }
}
