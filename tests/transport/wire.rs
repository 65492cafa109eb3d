//! What travels besides payloads: addresses and regions of peers, whoever wrote them.

use maser_transport::loopback::{LoopbackTransport, Network};
use maser_transport::{Access, Address, RemoteRegion, Transport, TransportKind};
use proptest::prelude::*;

use crate::ends::region;

#[test]
fn a_region_comes_back_from_the_wire() {
    let mut end = LoopbackTransport::open(&Network::new());
    let remote = region(&mut end, &[0; 100]).remote();
    let wire = remote.to_wire();
    assert_eq!(RemoteRegion::from_wire(&wire), Ok(remote.clone()));
    assert_eq!((remote.len(), remote.access()), (100, Access::all()));
    for cut in 0..wire.len() {
        assert!(
            RemoteRegion::from_wire(&wire[..cut]).is_err(),
            "{cut} bytes"
        );
    }
}

#[test]
fn an_address_comes_back_from_the_wire() {
    let end = LoopbackTransport::open(&Network::new());
    let address = end.address();
    assert_eq!(Address::from_wire(&address.to_wire()), Ok(address));
    assert!(Address::from_wire(&[]).is_err());
    assert!(Address::from_wire(&[0]).is_err());
    assert!(Address::from_wire(&[TransportKind::Tcp as u8; 5000]).is_err());
}

#[test]
fn transports_are_found_by_name() {
    for kind in TransportKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(TransportKind::from_wire(kind as u8), Some(kind));
    }
    let error = "infiniband"
        .parse::<TransportKind>()
        .expect_err("there is none");
    assert!(error.to_string().contains("rdma"), "{error}");
}

proptest! {
    #[test]
    fn bytes_are_a_region_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(region) = RemoteRegion::from_wire(&bytes) {
            prop_assert_eq!(region.to_wire(), bytes);
            prop_assert!(region.slice(0..region.len()).is_ok());
        }
    }

    #[test]
    fn bytes_are_an_address_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(address) = Address::from_wire(&bytes) {
            prop_assert_eq!(address.to_wire(), bytes);
        }
    }
}
