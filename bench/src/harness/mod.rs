//! Alternating windows of floor, subject and peers, and what is made of them.
//!
//! | file | holds |
//! |---|---|
//! | `clock` | the only clock |
//! | `cores`, `partner` | the two cores of a run and the helper thread on the second |
//! | `window` | one contender's few milliseconds |
//! | `row` | what is measured against what |
//! | `context` | what the rows of a run share; how much work fills a window |
//! | `alternate` | the windows' order, and a row's figures |
//! | `stats` | percentiles, ratios, dropped windows |
//! | `result`, `table` | JSON and table |
//! | `suite` | filters, budgets, the whole run |

mod alternate;
mod clock;
mod context;
mod cores;
mod error;
mod partner;
mod result;
mod row;
mod stats;
mod suite;
mod summed;
mod table;
mod window;

pub use alternate::alternate;
pub use clock::{Clock, Ticks};
pub use context::{Context, Effort};
pub use cores::Cores;
pub use error::{BenchError, Offer, Skip, check};
pub use partner::{Answer, Partner};
pub use result::{FloorFigure, PeerFigure, RowResult};
pub use row::{Contender, Floor, Lineup, Measure, Peer, Process, Row, Unit};
pub use stats::{FLOOR_JUMP_MAX, Percentiles, median};
pub use suite::{Options, budget_ns, list, run, run_row, select};
pub use summed::Summed;
pub use table::{header, line};
pub use window::{Shape, Window};
