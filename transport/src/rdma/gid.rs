//! Which address of a port is used.

use std::net::Ipv6Addr;

/// One of a port's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gid {
    pub(super) index: u32,
    pub(super) raw: [u8; 16],
    /// Whether its packets are UDP, which routers pass on.
    pub(super) is_version_2: bool,
}

/// How good an address is for connections between hosts, 0 is best.
fn rank(gid: &Gid) -> u32 {
    let address = Ipv6Addr::from(gid.raw);
    let by_reach = match address.to_ipv4_mapped() {
        Some(_) => 0,
        None if address.segments()[0] & 0xffc0 != 0xfe80 => 1,
        None => 2,
    };
    by_reach + 3 * u32::from(!gid.is_version_2)
}

/// The best of those that are set.
pub(super) fn best(gids: &[Gid]) -> Option<Gid> {
    let set = gids.iter().filter(|gid| gid.raw != [0; 16]);
    set.min_by_key(|gid| (rank(gid), gid.index)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gid(index: u32, address: &str, is_version_2: bool) -> Gid {
        let address: Ipv6Addr = address.parse().expect("an address");
        Gid {
            index,
            raw: address.octets(),
            is_version_2,
        }
    }

    #[test]
    fn version_2_is_better_than_version_1_and_ipv4_than_ipv6() {
        let mut gids = vec![
            gid(0, "fe80::1", false),
            gid(1, "fe80::1", true),
            gid(2, "::ffff:10.0.0.1", false),
            gid(3, "::ffff:10.0.0.1", true),
            gid(4, "2001:db8::1", true),
            gid(5, "::", true),
        ];
        let mut order = Vec::new();
        while let Some(found) = best(&gids) {
            order.push(found.index);
            gids.retain(|gid| *gid != found);
        }
        assert_eq!(order, [3, 4, 1, 2, 0]);
    }
}
