//! Two ends of a transport, one on each core.
//!
//! | file | holds |
//! |---|---|
//! | `pair` | the two ends, connected, and where they are during a window |
//! | `side` | what an end does: posts, and polls or sleeps until something comes |
//! | `calls` | calls of the protocol there and back |
//! | `round_trip` | messages there and back |
//! | `stream` | messages, and puts, one way |
//! | `net` | where sockets are: loopback, or two namespaces with a cable between them |
//! | `open` | a type for each transport that opens two ends |
//!
//! - NP-1 the driver opens and connects both ends. For a window the far one goes to the helper on core 1,
//!   and comes back.
//! - NP-2 the far end is polled until the driver has all it waited for, so that what it sends last leaves.
//! - NP-3 a side that fails is noticed by the other, which looks for that only while nothing comes.

mod calls;
mod net;
mod open;
mod pair;
mod round_trip;
mod side;
mod stream;

pub use calls::{Calls, Way};
pub use net::{At, Net};
pub(crate) use open::tcp_options;
pub use open::{Beside, Loopback, Open, Sm, Tcp, TcpVeth, UcxShm, UcxTcp};
pub use pair::Pair;
pub use round_trip::RoundTrip;
pub use side::Idle;
pub use stream::{PutStream, SendStream};
