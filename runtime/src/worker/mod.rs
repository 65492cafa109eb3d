//! Worker processes: code that runs in processes of its own.
//!
//! | file | holds |
//! |---|---|
//! | `registry` | the table of the program's functions that the linker makes |
//! | `entry` | how an executable becomes a worker before its `main` |
//! | `member` | a worker's own life |
//! | `keeper` | the thread that starts workers and settles what the dead held |
//! | `errand` | names of actors in the whole node, and what else is asked besides calls |
//! | `hello`, `socket` | what keeper and worker tell each other, with descriptors |
//! | `workers` | the processes that this one knows of |
//! | `output` | files for what workers print |
//! | `peer` | one of them: memory, links, what it holds |
//! | `link`, `link_end`, `links`, `message` | calls and answers between two schedulers, in shared rings |
//! | `tickets`, `answered` | calls that were sent, and what becomes of them |
//! | `serve`, `serving`, `incoming`, `exports` | calls that came, and the actors they are for |
//! | `stream` | streams between processes |
//! | `restart`, `saved` | actors that come back in another process, and what is kept of them |
//! | `checkpoint` | saving an actor's state, and making it again |
//! | `remote` | actors of another process, as this one sees them |
//! | `pool` | tasks in worker processes |
//! | `limit` | memory limits of workers |
//! | `part`, `part_here` | parts of compiled graphs: what is said of them, and this process's own |
//! | `values`, `parcel`, `handles` | values as bytes, and the refs and actors in them |
//! | `wire_error` | errors as bytes |
//! | `along` | refs and handles of actors beside values on edges of graphs |
//! | `bulk` | arrays in the stores of several processes |
//! | `death` | how a process ended |
//! | `doors` | where the schedulers of another process sleep |

pub(crate) mod along;
mod answered;
pub(crate) mod bulk;
pub(crate) mod checkpoint;
pub(crate) mod death;
pub(crate) mod doors;
mod entry;
pub(crate) mod errand;
pub(crate) mod exports;
pub(crate) mod handles;
mod hello;
pub(crate) mod incoming;
pub(crate) mod keeper;
mod kept;
pub(crate) mod limit;
pub(crate) mod link;
mod link_end;
pub(crate) mod links;
pub(crate) mod member;
pub(crate) mod message;
pub(crate) mod output;
pub(crate) mod parcel;
pub(crate) mod part;
pub(crate) mod part_here;
pub(crate) mod peer;
pub(crate) mod pool;
pub(crate) mod registry;
pub(crate) mod remote;
pub(crate) mod restart;
mod saved;
mod serve;
mod serving;
mod socket;
pub(crate) mod stream;
pub(crate) mod tickets;
pub(crate) mod values;
pub(crate) mod wire_error;
pub(crate) mod workers;
