//! Room at a seeder: what is charged to whom, and whether a head that announces so many bytes may come in (rule R8). Counts
//! stored block lengths, each block once, charged to the member of the head that first brought it.

use std::collections::BTreeMap;

use crate::hosting::Holding;
use crate::id::OpId;

/// A head that announces no more than this may use the reserve: a removal or a new membership rewrites a few nodes of the tree and
/// brings no content.
pub const RESERVE_HEAD_BYTES_MAX: u64 = 1 << 20;
/// One part in so many of the room is reserved for such heads.
const RESERVE_PART: u64 = 50;

/// What the room is and how it may be shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes granted.
    pub quota_bytes: u64,
    /// Percent of what is free that one member may use, if there is more than one.
    pub member_share: u8,
    /// Whether more than one member may write.
    pub shared: bool,
}

/// What is used, by member (named by its grant).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quota {
    used: BTreeMap<OpId, u64>,
}

impl Quota {
    /// Charges bytes to a member.
    pub fn charge(&mut self, member: OpId, bytes: u64) {
        let used = self.used.entry(member).or_insert(0);
        *used = used.saturating_add(bytes);
    }
    /// All that is used.
    pub fn used(&self) -> u64 {
        self.used.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
    /// What one member uses.
    pub fn used_by(&self, member: &OpId) -> u64 {
        self.used.get(member).copied().unwrap_or(0)
    }
    /// What is left.
    pub fn free(&self, room: &Room) -> u64 {
        room.quota_bytes.saturating_sub(self.used())
    }

    /// The most that a head of `member` may bring, large heads' reserve and the member's share considered.
    pub fn left_for(&self, room: &Room, member: &OpId) -> u64 {
        let mut left = self.free(room).saturating_sub(room.quota_bytes / RESERVE_PART);
        if room.shared {
            let own = self.used_by(member);
            let left_by_others = u128::from(room.quota_bytes.saturating_sub(self.used() - own));
            let share = left_by_others * u128::from(room.member_share.min(100)) / 100;
            left = left.min(u64::try_from(share).unwrap_or(u64::MAX).saturating_sub(own));
        }
        left
    }

    /// The most that a head which announces so little may bring in any case, whatever its member's share.
    pub fn left_for_small(&self, room: &Room, announced_bytes: u64) -> u64 {
        if announced_bytes > RESERVE_HEAD_BYTES_MAX { 0 } else { self.free(room).min(RESERVE_HEAD_BYTES_MAX) }
    }

    /// Whether a head that brings `announced_bytes` for `member` may come in.
    ///
    /// Errors: the status to answer with.
    pub fn admit(&self, room: &Room, member: &OpId, announced_bytes: u64) -> Result<(), Holding> {
        let reserve = if announced_bytes <= RESERVE_HEAD_BYTES_MAX { 0 } else { room.quota_bytes / RESERVE_PART };
        if announced_bytes > self.free(room).saturating_sub(reserve) {
            return Err(Holding::NoRoom);
        }
        if room.shared && announced_bytes > RESERVE_HEAD_BYTES_MAX {
            let own = self.used_by(member);
            let others = self.used() - own;
            let left_by_others = u128::from(room.quota_bytes.saturating_sub(others));
            let share = left_by_others * u128::from(room.member_share.min(100)) / 100;
            if u128::from(own) + u128::from(announced_bytes) > share {
                return Err(Holding::ShareUsed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: OpId = OpId([1; 32]);
    const BEN: OpId = OpId([2; 32]);
    const MIB: u64 = 1 << 20;

    #[test]
    fn x7_one_member_can_not_fill_the_room_of_all() {
        let room = Room { quota_bytes: 100 * MIB, member_share: 50, shared: true };
        let mut quota = Quota::default();
        assert_eq!(quota.admit(&room, &ANNA, 51 * MIB), Err(Holding::ShareUsed));
        assert_eq!(quota.admit(&room, &ANNA, 50 * MIB), Ok(()));
        quota.charge(ANNA, 50 * MIB);
        assert_eq!(quota.admit(&room, &ANNA, 2 * MIB), Err(Holding::ShareUsed));
        assert_eq!(quota.admit(&room, &BEN, 25 * MIB), Ok(()));
        let alone = Room { shared: false, ..room };
        assert_eq!(quota.admit(&alone, &ANNA, 48 * MIB), Ok(()), "who is alone has it all but the reserve");
        assert_eq!(quota.admit(&alone, &ANNA, 49 * MIB), Err(Holding::NoRoom));
    }

    #[test]
    fn a_removal_finds_room_when_content_does_not() {
        let room = Room { quota_bytes: 100 * MIB, member_share: 50, shared: true };
        let mut quota = Quota::default();
        quota.charge(ANNA, 50 * MIB);
        quota.charge(BEN, 48 * MIB);
        assert_eq!(quota.admit(&room, &BEN, 2 * MIB), Err(Holding::NoRoom));
        assert_eq!(quota.admit(&room, &BEN, MIB), Ok(()));
        quota.charge(BEN, 2 * MIB);
        assert_eq!(quota.admit(&room, &BEN, MIB), Err(Holding::NoRoom));
        assert_eq!(quota.free(&room), 0);
    }

    #[test]
    fn x7_absurd_announcements_do_not_overflow() {
        let room = Room { quota_bytes: u64::MAX, member_share: 100, shared: true };
        let mut quota = Quota::default();
        quota.charge(ANNA, u64::MAX);
        quota.charge(BEN, u64::MAX);
        assert_eq!(quota.admit(&room, &ANNA, u64::MAX), Err(Holding::NoRoom));
    }
}
