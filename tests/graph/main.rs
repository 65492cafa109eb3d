//! Graphs from outside, in one process: what programs written against them may rely on.
//!
//! | file | covers |
//! |---|---|
//! | [`written`] | what `compile` refuses, and how it says so |
//! | [`results`] | get in any order, again, after timeouts; dropped and held refs |
//! | [`limits`] | runs in flight, results kept, timeouts and where they are set |
//! | [`deaths`] | an actor that is killed, in every state |
//! | [`seed_000`] | the programs of the quickstart |
//! | [`seed_001`] | the programs of the troubleshooting page that need no GPU |

mod actors;
mod deaths;
mod limits;
mod results;
mod seed_000;
mod seed_001;
mod written;
