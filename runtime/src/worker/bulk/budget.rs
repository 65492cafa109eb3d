//! `store_bytes` holds for the whole node: the driver has the books, workers ask.
//!
//! ```text
//! worker                              driver
//!    --- Wants { number, bytes } ------>
//!    <-- Granted / Refused ------------    at once, or when all were asked to trim and did
//!    --- GaveBack { bytes } ----------->   an extent is gone
//!    <-- Trim -------------------------    somebody is short
//!    --- Trimmed ---------------------->
//!    --- Freed ------------------------>   once after a Trim, when objects are freed
//!    <-- Room -------------------------    after a refusal: ask again
//! ```
//!
//! - BG-1 the books lie in the driver's private memory: how many bytes of extents each process has, or
//!   was granted and may make. What is granted fits, so all of them are never above the budget.
//! - BG-2 a worker makes no extent before it was granted. Its figure ends with it, wherever it was
//!   killed; what others have mapped of its memory then counts as that of the dead, until the last of
//!   them has let go ([`Counted`]).
//! - BG-3 what a worker says is input: it cannot give back what it has not.
//! - BG-4 who asks waits for a limited time: a process that is stopped keeps nobody longer. A grant
//!   that comes too late goes back.
//! - BG-6 who was refused asks again when somebody has given something back, or has freed objects since
//!   it was asked to trim: only then does it pay to ask it again.
//! - BG-5 nothing else is locked, and nothing is sent, while the books are locked.

use super::Bulk;
use crate::worker::hello::{FromWorker, ToWorker};
use maser_shm::store::{Budget, Charge, Holder, HolderKind, PeerId};
use maser_shm::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long the driver waits for workers that were asked to trim (BG-4).
const TRIM_WAIT: Duration = Duration::from_millis(100);
/// How long a worker waits for an answer (BG-4).
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// A worker that waits until others have trimmed.
#[derive(Debug)]
struct Pending {
    to: PeerId,
    number: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Books {
    /// Of the driver.
    own: usize,
    workers: BTreeMap<PeerId, usize>,
    /// Of processes that have died.
    dead: usize,
    pending: Vec<Pending>,
    /// Who was asked to trim and has not said that it did.
    asked: BTreeSet<PeerId>,
    /// Who was refused, and is told when there is room.
    refused: BTreeSet<PeerId>,
    /// In a worker: the number of its last question, and whether that was granted.
    question: u64,
    answer: Option<bool>,
    /// In a worker: what was free, and who had the rest, when it was refused.
    others: (usize, Vec<Holder>),
}

impl Books {
    fn left(&self, total: usize) -> usize {
        let workers = self.workers.values().copied();
        let taken = workers.fold(self.own.saturating_add(self.dead), usize::saturating_add);
        total.saturating_sub(taken)
    }

    /// Notes that all workers that have something, but for one, are asked to trim; those that were not
    /// asked yet.
    fn ask(&mut self, but: Option<PeerId>) -> Vec<PeerId> {
        let workers = self.workers.keys().copied();
        let new = workers.filter(|worker| Some(*worker) != but && !self.asked.contains(worker));
        let new: Vec<PeerId> = new.collect();
        self.asked.extend(&new);
        new
    }
}

/// Messages, and to whom.
type News = Vec<(PeerId, ToWorker)>;

/// See the module's page.
pub(super) struct NodeBudget {
    bulk: Weak<Bulk>,
    total: usize,
    books: Mutex<Books>,
    news: Condvar,
    /// One question of a worker at a time.
    asking: Mutex<()>,
    /// The store tells when objects are freed (BG-6). AcqRel.
    watches: AtomicBool,
}

/// An extent of a dead process that somebody has mapped (BG-2).
pub(super) struct Counted {
    budget: Arc<NodeBudget>,
    bytes: usize,
    _charge: Option<Charge>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.budget.change(|books, _| books.dead -= bytes);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver's side.
impl NodeBudget {
    pub(super) fn new(bulk: Weak<Bulk>, total: usize) -> Arc<Self> {
        Arc::new(Self {
            bulk,
            total,
            books: Mutex::default(),
            news: Condvar::new(),
            asking: Mutex::default(),
            watches: AtomicBool::new(false),
        })
    }

    /// Gives back what is not needed, and hears when objects are freed from now on (BG-6).
    fn trim(&self, bulk: &Bulk) {
        let Some(store) = bulk.opened() else { return };
        if !self.watches.swap(true, Ordering::AcqRel) {
            let bulk = self.bulk.clone();
            store.when_freed(move || {
                if let Some(bulk) = bulk.upgrade() {
                    bulk.budget.freed(&bulk);
                }
            });
        }
        store.trim();
    }

    /// BG-6.
    fn freed(&self, bulk: &Bulk) {
        self.watches.store(false, Ordering::Release);
        match bulk.is_driver() {
            true => self.ask_again(),
            false => bulk.tell_driver(&FromWorker::Freed),
        }
    }

    /// BG-6.
    fn ask_again(&self) {
        let refused = std::mem::take(&mut lock(&self.books).refused);
        let Some(bulk) = self.bulk.upgrade() else {
            return;
        };
        for to in refused {
            bulk.tell_process(to, ToWorker::Room);
        }
        bulk.there_is_room();
    }

    /// Changes the books, and tells those whom that concerns.
    fn change(&self, change: impl FnOnce(&mut Books, &mut News)) {
        let Some(bulk) = self.bulk.upgrade() else {
            return change(&mut lock(&self.books), &mut Vec::new());
        };
        let mut news = News::new();
        let mut books = lock(&self.books);
        let before = books.left(self.total);
        change(&mut books, &mut news);
        let has_more = books.left(self.total) > before;
        let refused = match has_more {
            true => std::mem::take(&mut books.refused),
            false => BTreeSet::new(),
        };
        news.extend(refused.into_iter().map(|to| (to, ToWorker::Room)));
        for Pending { to, number, bytes } in std::mem::take(&mut books.pending) {
            if books.left(self.total) >= bytes {
                *books.workers.entry(to).or_default() += bytes;
                let bytes = bytes as u64;
                news.push((to, ToWorker::Granted { number, bytes }));
            } else if books.asked.iter().all(|asked| *asked == to) {
                books.refused.insert(to);
                news.push((to, self.refusal(&books, to, number)));
            } else {
                books.pending.push(Pending { to, number, bytes });
            }
        }
        drop(books);
        self.news.notify_all();
        for (to, message) in news {
            bulk.tell_process(to, message);
        }
        if has_more {
            bulk.there_is_room();
        }
    }

    /// Names are put in by who sends it (BG-5).
    fn refusal(&self, books: &Books, to: PeerId, number: u64) -> ToWorker {
        let others = books.workers.iter().filter(|(of, _)| **of != to);
        let others = others.map(|(of, bytes)| (of.0, *bytes as u64));
        ToWorker::Refused {
            number,
            free: books.left(self.total) as u64,
            driver: books.own as u64,
            dead: books.dead as u64,
            workers: others
                .map(|(of, bytes)| (of, String::new(), bytes))
                .collect(),
        }
    }

    fn take_here(&self, bulk: &Bulk, bytes: usize, urgent: bool) -> bool {
        let mut books = lock(&self.books);
        if books.left(self.total) < bytes && urgent && !books.workers.is_empty() {
            let asked = books.ask(None);
            drop(books);
            for worker in asked {
                bulk.tell_process(worker, ToWorker::Trim);
            }
            let waits =
                |books: &mut Books| books.left(self.total) < bytes && !books.asked.is_empty();
            let waited = self
                .news
                .wait_timeout_while(lock(&self.books), TRIM_WAIT, waits);
            books = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let fits = books.left(self.total) >= bytes;
        if fits {
            books.own += bytes;
        }
        fits
    }

    /// A worker said something.
    ///
    /// # Errors
    /// What is wrong with it (BG-3).
    pub(super) fn heard(&self, from: PeerId, news: &FromWorker) -> Result<(), String> {
        match *news {
            FromWorker::Wants {
                number,
                bytes,
                urgent,
            } => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.wants(from, number, bytes, urgent);
            }
            FromWorker::GaveBack { bytes } => {
                let mut had = Ok(());
                self.change(|books, _| {
                    let now = books.workers.get(&from).copied().unwrap_or(0);
                    match now.checked_sub(usize::try_from(bytes).unwrap_or(usize::MAX)) {
                        Some(0) => drop(books.workers.remove(&from)),
                        Some(left) => drop(books.workers.insert(from, left)),
                        None => had = Err(format!("it gives back {bytes} bytes and has {now}")),
                    }
                });
                return had;
            }
            FromWorker::Trimmed => self.change(|books, _| {
                books.asked.remove(&from);
            }),
            FromWorker::Freed => self.ask_again(),
            _ => {}
        }
        Ok(())
    }

    fn wants(&self, to: PeerId, number: u64, bytes: usize, urgent: bool) {
        let is_short = || lock(&self.books).left(self.total) < bytes;
        if urgent
            && is_short()
            && let Some(bulk) = self.bulk.upgrade()
        {
            self.trim(&bulk);
        }
        self.change(|books, news| {
            books.pending.retain(|pending| pending.to != to); // BG-4
            if books.left(self.total) < bytes && !urgent {
                return news.push((to, self.refusal(books, to, number)));
            }
            if books.left(self.total) < bytes {
                let asked = books.ask(Some(to));
                news.extend(asked.into_iter().map(|worker| (worker, ToWorker::Trim)));
            }
            books.pending.push(Pending { to, number, bytes });
        });
    }

    /// A worker has died, and others have `mapped` so many bytes of it (BG-2).
    pub(super) fn died(&self, worker: PeerId, mapped: usize) {
        self.change(|books, _| {
            books.workers.remove(&worker);
            books.dead += mapped;
            books.pending.retain(|pending| pending.to != worker);
            books.asked.remove(&worker);
            books.refused.remove(&worker);
        });
    }

    /// Bytes that [`died`](Self::died) counted, until this is dropped.
    pub(super) fn counted(self: &Arc<Self>, bytes: usize, charge: Option<Charge>) -> Counted {
        Counted {
            budget: self.clone(),
            bytes,
            _charge: charge,
        }
    }
}

/// A worker's side.
impl NodeBudget {
    fn ask(&self, bulk: &Bulk, bytes: usize, urgent: bool) -> bool {
        let _one = lock(&self.asking);
        let number = {
            let mut books = lock(&self.books);
            books.question += 1;
            books.answer = None;
            books.question
        };
        bulk.tell_driver(&FromWorker::Wants {
            number,
            bytes: bytes as u64,
            urgent,
        });
        let waited = self
            .news
            .wait_timeout_while(lock(&self.books), ANSWER_WAIT, |books| {
                books.answer.is_none()
            });
        let (mut books, _) = waited.unwrap_or_else(PoisonError::into_inner);
        books.question += 1; // BG-4
        books.answer.take() == Some(true)
    }

    /// The driver said something.
    pub(super) fn told(&self, bulk: &Bulk, news: &ToWorker) {
        match news {
            ToWorker::Granted { number, bytes } => {
                let mut books = lock(&self.books);
                if books.question == *number {
                    books.answer = Some(true);
                    self.news.notify_all();
                    return;
                }
                drop(books);
                bulk.tell_driver(&FromWorker::GaveBack { bytes: *bytes }); // BG-4
            }
            ToWorker::Refused {
                number,
                free,
                driver,
                dead,
                workers,
            } => {
                let mut books = lock(&self.books);
                if books.question == *number {
                    let named = |name: &str, bytes: u64| Holder {
                        kind: HolderKind::Charged { name: name.into() },
                        objects: 0,
                        bytes,
                    };
                    let mut holders = vec![
                        named("the driver", *driver),
                        named("arrays of processes that have ended", *dead),
                    ];
                    let workers = workers.iter().map(|(_, name, bytes)| named(name, *bytes));
                    holders.extend(workers);
                    holders.retain(|holder| holder.bytes > 0);
                    books.others = (usize::try_from(*free).unwrap_or(usize::MAX), holders);
                    books.answer = Some(false);
                    self.news.notify_all();
                }
            }
            ToWorker::Trim => {
                self.trim(bulk);
                bulk.tell_driver(&FromWorker::Trimmed);
            }
            ToWorker::Room => bulk.there_is_room(),
            _ => {}
        }
    }
}

impl Budget for NodeBudget {
    fn take(&self, bytes: usize, urgent: bool) -> bool {
        match self.bulk.upgrade() {
            Some(bulk) if bulk.is_driver() => self.take_here(&bulk, bytes, urgent),
            Some(bulk) => self.ask(&bulk, bytes, urgent),
            None => false,
        }
    }

    fn give_back(&self, bytes: usize) {
        match self.bulk.upgrade() {
            Some(bulk) if !bulk.is_driver() => {
                let bytes = bytes as u64;
                bulk.tell_driver(&FromWorker::GaveBack { bytes });
            }
            _ => self.change(|books, _| books.own = books.own.saturating_sub(bytes)),
        }
    }

    fn others(&self) -> (usize, Vec<Holder>) {
        let Some(bulk) = self.bulk.upgrade() else {
            return (0, Vec::new());
        };
        let (left, workers) = {
            let books = lock(&self.books);
            if !bulk.is_driver() {
                return books.others.clone();
            }
            (books.left(self.total), books.workers.clone())
        };
        // The dead are charged to the driver's store.
        let holders = workers.into_iter().map(|(of, bytes)| Holder {
            kind: HolderKind::Charged {
                name: bulk.name_of(of),
            },
            objects: 0,
            bytes: bytes as u64,
        });
        (left, holders.collect())
    }
}
