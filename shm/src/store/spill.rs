//! Where cold objects go while there is no room for them in memory.

use std::fmt;

/// Names what was written; only the one who gave it out knows what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// Why something could not be written or read; its text ends with what to do.
pub type SpillFailure = Box<dyn std::error::Error + Send + Sync>;

/// Keeps bytes outside of memory. Called from any thread, with no lock of the store held; it must
/// not make objects of the same store.
pub trait Spill: Send + Sync {
    /// Writes an object.
    ///
    /// # Errors
    /// Why not; nothing is kept then.
    fn write(&self, bytes: &[u8]) -> Result<Ticket, SpillFailure>;

    /// Writes several, all or none.
    ///
    /// # Errors
    /// Why not; nothing is kept then.
    fn write_all(&self, objects: &[&[u8]]) -> Result<Vec<Ticket>, SpillFailure> {
        let mut tickets = Vec::with_capacity(objects.len());
        for bytes in objects {
            match self.write(bytes) {
                Ok(ticket) => tickets.push(ticket),
                Err(failure) => {
                    tickets.into_iter().for_each(|ticket| self.discard(ticket));
                    return Err(failure);
                }
            }
        }
        Ok(tickets)
    }

    /// Reads an object of exactly so many bytes. It stays written.
    ///
    /// # Errors
    /// Why not, and whether it is lost.
    fn read(&self, ticket: Ticket, bytes: &mut [u8]) -> Result<(), SpillFailure>;

    /// Nobody will read it any more.
    fn discard(&self, ticket: Ticket);
}

impl fmt::Debug for dyn Spill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spill")
    }
}
