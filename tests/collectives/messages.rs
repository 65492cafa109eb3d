//! From one rank to another.

use crate::ranks::{actors, assert_usable, group, row};
use maser::{Error, Tensor};
use maser_tests::{quiet, with_runtime};

#[test]
fn messages_come_in_the_order_in_which_they_were_sent() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        for number in 0..10_u32 {
            actors[0]
                .send()
                .remote(row([number]), 1_usize)
                .get()
                .unwrap();
        }
        for number in 0..10_u32 {
            let came = actors[1].recv().remote(0_usize).get().unwrap();
            assert_eq!(came, row([number]));
        }
        assert_usable(&actors);
    });
}

#[test]
fn a_receiver_waits_for_its_sender() {
    with_runtime(quiet(2), |_| {
        let actors = actors(3, 2);
        let _group = group(&actors).unwrap();
        let (from_one, from_two) = (actors[0].recv().remote(1_usize), ());
        assert!(!from_one.is_ready());
        actors[2].send().remote(row([2_u8]), 1_usize).get().unwrap();
        actors[1].send().remote(row([1_u8]), 0_usize).get().unwrap();
        assert_eq!(from_one.get().unwrap(), row([1_u8]));
        let () = from_two;
        assert_eq!(actors[1].recv().remote(2_usize).get().unwrap(), row([2_u8]));
    });
}

#[test]
fn two_ranks_may_send_to_each_other_before_either_receives() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        for (from, to) in [(0, 1), (1, 0)] {
            actors[from]
                .send()
                .remote(row([from as u16]), to)
                .get()
                .unwrap();
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let came = actors[to].recv().remote(from).get().unwrap();
            assert_eq!(came, row([from as u16]));
        }
    });
}

#[test]
fn a_sender_that_is_far_ahead_waits_and_loses_nothing() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        let sent: Vec<_> = (0..100_u32)
            .map(|number| actors[0].send().remote(row([number]), 1_usize))
            .collect();
        sent[15].get().unwrap();
        assert!(!sent[99].is_ready(), "nobody has received");
        for number in 0..100_u32 {
            let came = actors[1].recv().remote(0_usize).get().unwrap();
            assert_eq!(came, row([number]));
        }
        for one in sent {
            one.get().unwrap();
        }
    });
}

#[test]
fn what_is_received_is_the_memory_that_was_sent() {
    with_runtime(quiet(2), |_| {
        let actors = actors(2, 2);
        let _group = group(&actors).unwrap();
        let sent = row(0..1000_u64);
        actors[0]
            .send()
            .remote(sent.clone(), 1_usize)
            .get()
            .unwrap();
        let came = actors[1].recv().remote(0_usize).get().unwrap();
        let address = |tensor: &Tensor| tensor.to_array::<u64>().unwrap().as_ptr();
        assert_eq!(address(&came), address(&sent));
    });
}

#[test]
fn a_message_to_oneself_or_to_nobody_is_refused() {
    with_runtime(quiet(1), |_| {
        let actors = actors(2, 1);
        let _group = group(&actors).unwrap();
        for peer in [0, 2] {
            let sent = actors[0].send().remote(row([1_u8]), peer).get();
            let error = sent.unwrap_err();
            let ours = error.downcast_ref::<Error>().unwrap();
            assert!(matches!(
                ours,
                Error::InvalidArgument {
                    argument: "peer",
                    ..
                }
            ));
        }
    });
}
