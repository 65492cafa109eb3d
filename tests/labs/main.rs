//! What crosses a network, between hosts that this machine makes up: cables are pulled, packets are lost,
//! late, doubled and out of order, hosts die.
//!
//! | file | holds |
//! |---|---|
//! | `netns` | the script that makes the hosts |
//! | [`lab`] | the hosts, as a value |
//! | [`cable`] | a cable that does what it is told to the frames |
//! | [`peer`] | the program that runs on a host |
//! | [`handle`] | such a program, as its test has it |
//! | [`cuts`], [`faults`] | the tests |

mod cable;
mod cuts;
mod faults;
mod handle;
mod lab;
mod peer;
