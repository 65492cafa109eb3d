//! What every transport does, whatever it is made of.
//!
//! The suite is a list of generic functions; `transport_suite!(name, Lab)` instantiates it for one
//! implementation, which its [`Lab`](ends::Lab) opens. What an implementation or a machine cannot do is
//! skipped, and the reason is printed.

mod between;
mod connections;
mod endings;
mod ends;
mod hostile;
mod loopback;
mod many;
mod messages;
mod one_sided;
mod rdma;
mod rdma_lab;
mod select;
mod sm;
mod strangers;
mod tcp;
mod tcp_pollers;
mod ucx;
mod waits;
mod wire;

/// Every test of the suite for one implementation.
#[macro_export]
macro_rules! transport_suite {
    ($name:ident, $lab:ty) => {
        $crate::transport_suite! { @tests $name, $lab;
            messages: [
                messages_come_in_their_order_in_both_directions
                a_message_of_no_bytes_is_one
                messages_of_every_length_come_whole
                the_longest_message_comes_whole_and_a_longer_one_is_refused
                what_is_full_gives_the_request_back_and_says_when_it_goes_on
                a_flush_is_done_when_everything_before_it_is
                control_messages_come_in_their_order_whatever_data_does
                a_control_message_is_completed_and_a_longer_one_is_refused
            ]
            one_sided: [
                a_put_is_there_when_its_signal_comes
                bytes_are_put_without_a_region
                a_get_brings_what_is_there
                puts_and_gets_begin_and_end_anywhere
                nothing_is_put_and_got_as_well
                words_are_added_to_one_after_the_other
                a_put_behind_a_fence_comes_later
                a_region_that_is_gone_is_an_error_of_that_request
                what_a_region_does_not_allow_is_refused
                two_sides_of_different_length_are_refused
                regions_of_other_transports_are_refused
                work_under_way_keeps_its_region
            ]
            connections: [
                both_ends_hear_of_a_connection
                requests_may_be_posted_before_it_is_there
                two_connections_of_the_same_ends_are_two
                an_end_connects_to_itself
                an_address_of_another_transport_is_refused
                an_address_that_says_nothing_is_refused
                a_place_that_is_used_again_is_another_endpoint
            ]
            endings: [
                what_was_sent_before_a_close_comes_before_the_end
                an_endpoint_that_ended_takes_nothing
                an_end_is_told_once
                a_crash_of_an_idle_peer_is_told
                a_crash_completes_what_was_under_way
                a_crash_before_the_connection_is_there_is_told
                nobody_at_an_address_is_told
                a_peer_that_came_back_is_connected_again
                others_go_on_when_one_peer_dies
                an_end_that_is_dropped_gives_everything_back
                a_request_is_completed_once_if_it_is_cancelled
            ]
            many: [
                a_thousand_endpoints_are_answered
                many_peers_of_one_end_keep_their_order
                every_request_with_a_token_is_completed_once
            ]
            waits: [
                a_thread_that_waits_is_woken_by_a_message
                a_waker_ends_a_wait_and_the_next_one
                a_wait_has_a_limit
            ]
        }
    };
    (@tests $name:ident, $lab:ty; $($module:ident: [$($test:ident)*])*) => {
        mod $name {
            $(
                mod $module {
                    $(
                        #[test]
                        fn $test() {
                            $crate::ends::run::<$lab>($crate::$module::$test::<$lab>);
                        }
                    )*
                }
            )*
        }
    };
}

transport_suite!(loopback_transport, crate::loopback::LoopbackLab);
transport_suite!(tcp_transport, crate::tcp::TcpLab);
transport_suite!(tcp_transport_epoll, crate::tcp::EpollTcpLab);
transport_suite!(tcp_transport_clear, crate::tcp::ClearTcpLab);
transport_suite!(tcp_transport_sealed, crate::tcp::SealedTcpLab);
transport_suite!(ucx_shm_transport, crate::ucx::ShmUcxLab);
transport_suite!(ucx_tcp_transport, crate::ucx::TcpUcxLab);
transport_suite!(sm_transport, crate::sm::SmLab);
transport_suite!(rdma_transport, crate::rdma::RdmaLab);
