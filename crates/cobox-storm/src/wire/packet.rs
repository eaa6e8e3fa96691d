//! As much of IP and UDP as a wire needs: from whom, to whom, and what is inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The protocol number of UDP.
const UDP: u8 = 17;

/// From whom and to whom a packet goes. `None` for what is no packet.
pub(super) fn ends(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let v4 = |at: usize| Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?)));
    let v6 = |at: usize| Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?)));
    match packet.first()? >> 4 {
        4 => Some((v4(12)?, v4(16)?)),
        6 => Some((v6(8)?, v6(24)?)),
        _ => None,
    }
}

/// Where a UDP header begins, if there is one. Extensions of IPv6 are not looked through: nobody here sends any.
fn udp_at(packet: &[u8]) -> Option<usize> {
    let (protocol, at) = match packet.first()? >> 4 {
        4 => (*packet.get(9)?, usize::from(packet.first()? & 15) * 4),
        6 => (*packet.get(6)?, 40),
        _ => return None,
    };
    (protocol == UDP && packet.len() >= at + 8).then_some(at)
}

/// The port that a packet goes to and what it carries, if it is UDP.
pub(super) fn udp(packet: &[u8]) -> Option<(u16, &[u8])> {
    let at = udp_at(packet)?;
    Some((u16::from_be_bytes([packet[at + 2], packet[at + 3]]), &packet[at + 8..]))
}

/// The same IPv4 packet as if somebody else had sent it: what a forger does.
pub(super) fn forged(packet: &[u8], sender: Ipv4Addr) -> Option<Vec<u8>> {
    let at = udp_at(packet).filter(|_| packet[0] >> 4 == 4)?;
    let mut forged = packet.to_vec();
    forged[12..16].copy_from_slice(&sender.octets());
    forged[10..12].fill(0);
    let sum = checksum(&forged[..at]);
    forged[10..12].copy_from_slice(&sum.to_be_bytes());
    // Over IPv4 a datagram needs none.
    forged[at + 6..at + 8].fill(0);
    Some(forged)
}

/// The Internet's checksum of a header whose own field is 0.
fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet with "hey" for port 4660.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2];
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend([0, 9, 0x12, 0x34, 0, 11, 0xaa, 0xbb]);
        packet.extend(b"hey");
        packet
    }

    #[test]
    fn a_datagram_is_taken_apart() {
        let ends_of = ends(&packet()).unwrap();
        assert_eq!(ends_of, (IpAddr::from([10, 77, 0, 1]), IpAddr::from([10, 77, 0, 2])));
        assert_eq!(udp(&packet()), Some((0x1234, &b"hey"[..])));
        for end in 0..packet().len() {
            let _no_panic = (ends(&packet()[..end]), udp(&packet()[..end]));
        }
    }

    #[test]
    fn a_forged_sender_is_believable() {
        let forged = forged(&packet(), Ipv4Addr::new(10, 77, 0, 9)).unwrap();
        assert_eq!(ends(&forged).unwrap().0, IpAddr::from([10, 77, 0, 9]));
        assert_eq!(checksum(&forged[..20]), 0, "its header's checksum holds");
        assert_eq!(udp(&forged).unwrap().1, b"hey");
    }
}
