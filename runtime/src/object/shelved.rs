//! Arrays that may leave memory while nobody reads them.
//!
//! An [`Array`] is memory: while there is a handle of it, in a ref, an actor, a message or another
//! process, it stays where it is. What a program wants to keep and does not read all the time it puts
//! on the shelf: then the store writes it to `spill_directory` when it is short of memory, the one that
//! was used longest ago first, and reads it back when it is asked for.
//!
//! - SHV-1 what leaves is an object of this process's own store that nobody has a handle of: an array of
//!   the heap or of another process is copied into it first.

use super::array::Array;
use super::buffer::{Buffer, Part};
use super::store::waiting_for_room;
use crate::error::Result;
use crate::node::Node;
use maser_shm::store::{self, Leave};
use maser_shm::tensor::Element;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// An array on the shelf; [`Array::shelve`] puts it there. Cloning counts and copies nothing. A part of
/// an array that is shelved on its own keeps the whole, and two such parts keep it in memory.
///
/// Inside a value that goes to another process it is read back and goes as the array; there it stays
/// in memory.
///
/// ```
/// # fn main() -> maser::Result<()> {
/// let maser = maser::Config::new().spill_directory(std::env::temp_dir()).init()?;
/// let squares: maser::Array<u64> = (0..1000).map(|at| at * at).collect();
/// let squares = squares.shelve()?;
/// // It may be on disk by now.
/// assert_eq!(squares.get()?[30], 900);
/// # drop(maser);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Shelved<T: Element> {
    kept: Kept<T>,
    elements: PhantomData<T>,
}

#[derive(Clone)]
enum Kept<T: Element> {
    /// This part of an object of the store.
    Shelf(store::Shelved, Range<usize>),
    /// It came from another process.
    Here(Array<T>),
}

impl<T: Element> Array<T> {
    /// Lets it leave memory when the store is short of it, while nobody has an [`Array`] of it.
    ///
    /// # Errors
    /// [`Error::Store`](crate::Error::Store) without `spill_directory`;
    /// [`Error::StoreFull`](crate::Error::StoreFull) where it has to be copied into the store first.
    pub fn shelve(self) -> Result<Shelved<T>> {
        let node = Node::current("shelving an array")?;
        let store = node.bulk.store()?;
        let part = self.part();
        let bytes = part.bytes().len();
        let (object, start) = match part.buffer() {
            Buffer::Own(object) if store.is_own(object) => (object.clone(), part.offset()),
            // SHV-1.
            _ => {
                let copied = waiting_for_room(&node, bytes, || node.bulk.put(part.bytes()))?;
                (copied, 0)
            }
        };
        let shelved = store.shelve(object, Leave::ToDisk)?;
        Ok(Shelved {
            kept: Kept::Shelf(shelved, start..start + bytes),
            elements: PhantomData,
        })
    }
}

impl<T: Element> Shelved<T> {
    /// The array, which stays in memory while it is held. Waits as [`Array::in_store`] does if there is
    /// no room for it to come back.
    ///
    /// # Errors
    /// [`Error::StoreFull`](crate::Error::StoreFull), and [`Error::Store`](crate::Error::Store) if it
    /// cannot be read: it is still on disk then.
    pub fn get(&self) -> Result<Array<T>> {
        let (shelved, range) = match &self.kept {
            Kept::Shelf(shelved, range) => (shelved, range),
            Kept::Here(array) => return Ok(array.clone()),
        };
        let object = match shelved.is_here() {
            true => shelved.get()?,
            false => {
                let node = Node::current("reading a shelved array back")?;
                waiting_for_room(&node, shelved.bytes(), || Ok(shelved.get()?))?
            }
        };
        match Part::whole(Buffer::Own(object)).range(range.clone()) {
            Some(part) => Array::try_of(part),
            None => unreachable!("an object has the bytes that it had"),
        }
    }

    /// Elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.kept {
            Kept::Shelf(_, range) => range.len() / size_of::<T>(),
            Kept::Here(array) => array.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is in memory now.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        match &self.kept {
            Kept::Shelf(shelved, _) => shelved.is_here(),
            Kept::Here(_) => true,
        }
    }
}

impl<T: Element> fmt::Debug for Shelved<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whereabouts = match self.is_in_memory() {
            true => "in memory",
            false => "on disk",
        };
        write!(f, "{} of {}, {whereabouts}", self.len(), T::DTYPE)
    }
}

impl<T: Element> Serialize for Shelved<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let array = self.get().map_err(super::beside::unwritten)?;
        array.serialize(serializer)
    }
}

impl<'de, T: Element> Deserialize<'de> for Shelved<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Self {
            kept: Kept::Here(Array::deserialize(deserializer)?),
            elements: PhantomData,
        })
    }
}
