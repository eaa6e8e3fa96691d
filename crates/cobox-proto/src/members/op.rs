//! What a membership op says and its one encoding (formats F2, F6, F7, F8). Whether an op *counts* is not decided here: see
//! `authority` for what each kind needs and `resolve` for what stands.
//!
//! ```text
//! op   = ver u8 | suite u8 | folder [32] | kind u8 | signers list(grant [32], key [32]) | deps list([32], strictly increasing)
//!        | body (by kind) | sealed bytes (<= 512, may be empty) | one signature [64] for each signer, in order
//! id   = derive_key("cobox v1 op id", suite | folder | everything before the signatures)
//! sig  over "cobox v1 op\0" | suite | folder | everything before the signatures
//! ```
//!
//! **Signers.** `key` is the key that signs; `grant` names the op that admitted whoever holds it:
//!
//! | the signer is | `grant` | `key` |
//! |---|---|---|
//! | a member, or a device of it | genesis, `Grant` or `Join` | the member's key or the device's |
//! | an invite (only in `Join`) | the `Invite` | the invite's key |
//! | a seeder (only in `Witness`) | the `SeederGrant` | the seeder's key |
//! | a device that this very op brings in (only in `Join`) | all zero | the device's key |
//!
//! `Remove` and `SetRole` may have several signers: then they are quorum ops, all signers are members, sorted by grant, one
//! key each. `Join` has exactly two: the invite, then the new device. All others have one.

use crate::codec::{Canonical, DecodeError, Reader, Writer};
use crate::id::{Cid, EpochId, FolderId, Hash, HeadId, HeadTag, OpId, SigKey};
use crate::limits::{
    EPOCH_GRANT_EPOCHS_MAX, EPOCH_HISTORY_BYTES_MAX, EPOCH_PARENTS_MAX, EPOCH_RECIPIENTS_MAX, FORGET_BLOCKS_MAX,
    FORGET_PARTS_MAX, FORGET_STATES_MAX, INVITE_USES_MAX, OP_CUT_HEADS_MAX, OP_DEPS_MAX, OP_SEALED_BYTES_MAX,
    OP_SIGNERS_MAX,
};
use crate::members::genesis::Policy;
use crate::members::keys::{HpkeKey, KeyPair};
use crate::sign::{SUITE_ED25519, Signature};

/// The op format of this program.
pub const OP_VERSION: u8 = 1;

/// What a member may do. Each role may all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads, hands epoch secrets to those entitled.
    Reader,
    /// Writes files.
    Editor,
    /// Admits and removes, invites, hires seeders, starts epochs.
    Admin,
    /// Sets the policy; lets go of what history holds; hosts a vault.
    Owner,
}

impl Canonical for Role {
    fn encode(&self, w: &mut Writer) {
        w.u8(match self {
            Self::Reader => 1,
            Self::Editor => 2,
            Self::Admin => 3,
            Self::Owner => 4,
        });
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.u8()? {
            1 => Ok(Self::Reader),
            2 => Ok(Self::Editor),
            3 => Ok(Self::Admin),
            4 => Ok(Self::Owner),
            other => Err(DecodeError::BadValue { what: "role", found: other.into() }),
        }
    }
}

/// Who signs: see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    /// The op that admitted the signer.
    pub grant: OpId,
    /// The key.
    pub key: SigKey,
}

impl Canonical for Signer {
    fn encode(&self, w: &mut Writer) {
        w.put(&self.grant).put(&self.key);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { grant: r.get()?, key: r.get()? })
    }
}

/// How the blocks of an epoch are padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Padding {
    /// Padmé, at least 1024 bytes.
    Padme,
    /// Powers of the fourth root of two.
    Step4,
    /// One size for chunks.
    Uniform,
}

/// How the blocks of an epoch are made (formats F1, F2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochParams {
    /// Block format version.
    pub block_ver: u8,
    /// Encryption suite of blocks.
    pub suite: u8,
    /// Codec of payloads; 0 is none.
    pub codec: u8,
    /// Padding classes.
    pub padding: Padding,
}

impl Canonical for EpochParams {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.block_ver).u8(self.suite).u8(self.codec).u8(match self.padding {
            Padding::Padme => 0,
            Padding::Step4 => 1,
            Padding::Uniform => 2,
        });
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (block_ver, suite, codec) = (r.u8()?, r.u8()?, r.u8()?);
        let padding = match r.u8()? {
            0 => Padding::Padme,
            1 => Padding::Step4,
            2 => Padding::Uniform,
            other => return Err(DecodeError::BadValue { what: "padding", found: other.into() }),
        };
        Ok(Self { block_ver, suite, codec, padding })
    }
}

/// How long a seeder keeps a device's heads; the first and the last of each bucket stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Hours for which every head stays.
    pub all_hours: u16,
    /// Days for which one head an hour stays.
    pub hourly_days: u16,
    /// Days for which one head a day stays.
    pub daily_days: u16,
    /// Months for which one head a month stays.
    pub monthly_months: u16,
}

impl Default for Retention {
    fn default() -> Self {
        Self { all_hours: 1, hourly_days: 7, daily_days: 90, monthly_months: 0 }
    }
}

impl Canonical for Retention {
    fn encode(&self, w: &mut Writer) {
        w.u16(self.all_hours).u16(self.hourly_days).u16(self.daily_days).u16(self.monthly_months);
    }
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { all_hours: r.u16()?, hourly_days: r.u16()?, daily_days: r.u16()?, monthly_months: r.u16()? })
    }
}

/// What an op does. Fields are encoded in the order they stand here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpBody {
    /// Kind 1. Admits a member with its first device. The op's `sealed` is the member's name.
    Grant {
        /// The member's keys.
        member: KeyPair,
        /// Its first device.
        device: KeyPair,
        /// What it may do.
        role: Role,
    },
    /// Kind 2. Opens a way in for whoever holds the invite's seed.
    Invite {
        /// Signs joins.
        sig: SigKey,
        /// New epochs are sealed to it while the invite is open and `grant` is set.
        hpke: HpkeKey,
        /// What joiners may do; never owner.
        role: Role,
        /// How many may join.
        max_uses: u16,
        /// Until when, by the witness's clock, milliseconds since 1970.
        expires_ms: u64,
        /// Whether the invite carries the keys, so that a joiner can read with nobody but a seeder online. Without, and always for
        /// admins, who joins waits until an owner or admin approves.
        grant: bool,
    },
    /// Kind 3. Closes an invite. Its key counts as a removed recipient from then on.
    CancelInvite {
        /// The invite.
        invite: OpId,
        /// The signer's clock, milliseconds since 1970: an editor may cancel only what has expired.
        at_ms: u64,
    },
    /// Kind 4. Uses an invite; takes effect with a standing [`OpBody::Witness`]. The op's `sealed` is the member's name.
    Join {
        /// The invite; equals the first signer's grant.
        invite: OpId,
        /// The joiner's member keys.
        member: KeyPair,
        /// Its first device; signs.
        device: KeyPair,
    },
    /// Kind 5. A seeder or member saw a join in time.
    Witness {
        /// The join.
        join: OpId,
        /// The witness's clock, milliseconds since 1970.
        at_ms: u64,
    },
    /// Kind 6. Certifies another device of the signing member.
    AddDevice {
        /// The device.
        device: KeyPair,
        /// [`KeyPair::prove_device`] by the device for this member.
        proof: Signature,
    },
    /// Kind 7. Takes a device of the signing member out.
    RemoveDevice {
        /// The device.
        device: SigKey,
        /// Its last heads that count (rule R18).
        cut: Vec<HeadId>,
    },
    /// Kind 8. Changes what a member may do.
    SetRole {
        /// The member's grant.
        grant: OpId,
        /// From now on.
        role: Role,
        /// On demotion: its last heads that count.
        cut: Vec<HeadId>,
    },
    /// Kind 9. Takes a member out.
    Remove {
        /// The member's grant.
        grant: OpId,
        /// Its last heads that count.
        cut: Vec<HeadId>,
    },
    /// Kind 10. Hires a seeder.
    SeederGrant {
        /// The seeder's key.
        seeder: SigKey,
        /// `BLAKE3(offer id | secret | folder)`: shows the seeder which offer is taken, and nobody else.
        offer_hash: Hash,
        /// Bytes it may be asked to store.
        quota_bytes: u64,
        /// What it keeps.
        retention: Retention,
        /// Percent of the free quota that one member may use, 1 to 100.
        member_share: u8,
    },
    /// Kind 11. Ends a seeder's grant.
    SeederEnd {
        /// The `SeederGrant`.
        seeder: OpId,
    },
    /// Kind 12. Sets the policy.
    Policy {
        /// All of it.
        policy: Policy,
    },
    /// Kind 13. Replaces a member's keys, or picks between two concurrent replacements.
    KeyUpdate {
        /// The member's grant.
        grant: OpId,
        /// The new keys.
        keys: KeyPair,
    },
    /// Kind 14. Starts an epoch.
    EpochBundle {
        /// The epochs before it, sorted.
        parents: Vec<EpochId>,
        /// Its id.
        id: EpochId,
        /// How its blocks are made.
        params: EpochParams,
        /// The ids of the keys it is sealed to, sorted.
        recipients: Vec<Hash>,
        /// Hash of the [`crate::members::EnvelopeList`].
        envelopes: Hash,
        /// The older secrets the minter holds, sealed under this one.
        history: Vec<u8>,
    },
    /// Kind 15. Hands epochs to one recipient that lacks them.
    EpochGrant {
        /// Which, sorted.
        epochs: Vec<EpochId>,
        /// The id of the key.
        recipient: Hash,
        /// [`crate::members::Envelope::hash`].
        envelope: Hash,
        /// Whose key it is: a member's grant, or an invite.
        member: OpId,
    },
    /// Kind 16. Of these states, these blocks need not be kept any more, in days. The op's `sealed` is the path they belonged to.
    Forget {
        /// The signer's clock, milliseconds since 1970. Ops of one signer with the same time are parts of one wish.
        at_ms: u64,
        /// The states whose author found the blocks in them and looked at all else in them, sorted. Of others nothing is let go.
        states: Vec<HeadTag>,
        /// The blocks, sorted; what is beneath them and nowhere else goes with them.
        blocks: Vec<Cid>,
    },
    /// Kind 17. Takes back what was not let go yet.
    ForgetEnd {
        /// The [`OpBody::Forget`]s, sorted.
        forgets: Vec<OpId>,
    },
}

impl OpBody {
    fn kind(&self) -> u8 {
        match self {
            Self::Grant { .. } => 1,
            Self::Invite { .. } => 2,
            Self::CancelInvite { .. } => 3,
            Self::Join { .. } => 4,
            Self::Witness { .. } => 5,
            Self::AddDevice { .. } => 6,
            Self::RemoveDevice { .. } => 7,
            Self::SetRole { .. } => 8,
            Self::Remove { .. } => 9,
            Self::SeederGrant { .. } => 10,
            Self::SeederEnd { .. } => 11,
            Self::Policy { .. } => 12,
            Self::KeyUpdate { .. } => 13,
            Self::EpochBundle { .. } => 14,
            Self::EpochGrant { .. } => 15,
            Self::Forget { .. } => 16,
            Self::ForgetEnd { .. } => 17,
        }
    }

    /// The kind's name, for people and vectors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "grant",
            Self::Invite { .. } => "invite",
            Self::CancelInvite { .. } => "cancel_invite",
            Self::Join { .. } => "join",
            Self::Witness { .. } => "witness",
            Self::AddDevice { .. } => "add_device",
            Self::RemoveDevice { .. } => "remove_device",
            Self::SetRole { .. } => "set_role",
            Self::Remove { .. } => "remove",
            Self::SeederGrant { .. } => "seeder_grant",
            Self::SeederEnd { .. } => "seeder_end",
            Self::Policy { .. } => "policy",
            Self::KeyUpdate { .. } => "key_update",
            Self::EpochBundle { .. } => "epoch_bundle",
            Self::EpochGrant { .. } => "epoch_grant",
            Self::Forget { .. } => "forget",
            Self::ForgetEnd { .. } => "forget_end",
        }
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Self::Grant { member, device, role } => w.put(member).put(device).put(role),
            Self::Invite { sig, hpke, role, max_uses, expires_ms, grant } => {
                w.put(sig).put(hpke).put(role).u16(*max_uses).u64(*expires_ms).bool(*grant)
            }
            Self::CancelInvite { invite, at_ms } => w.put(invite).u64(*at_ms),
            Self::Join { invite, member, device } => w.put(invite).put(member).put(device),
            Self::Witness { join, at_ms } => w.put(join).u64(*at_ms),
            Self::AddDevice { device, proof } => w.put(device).put(proof),
            Self::RemoveDevice { device, cut } => w.put(device).list(cut),
            Self::SetRole { grant, role, cut } => w.put(grant).put(role).list(cut),
            Self::Remove { grant, cut } => w.put(grant).list(cut),
            Self::SeederGrant { seeder, offer_hash, quota_bytes, retention, member_share } => {
                w.put(seeder).put(offer_hash).u64(*quota_bytes).put(retention).u8(*member_share)
            }
            Self::SeederEnd { seeder } => w.put(seeder),
            Self::Policy { policy } => w.put(policy),
            Self::KeyUpdate { grant, keys } => w.put(grant).put(keys),
            Self::EpochBundle { parents, id, params, recipients, envelopes, history } => {
                w.list(parents).put(id).put(params).list(recipients).put(envelopes).bytes(history)
            }
            Self::EpochGrant { epochs, recipient, envelope, member } => {
                w.list(epochs).put(recipient).put(envelope).put(member)
            }
            Self::Forget { at_ms, states, blocks } => w.u64(*at_ms).list(states).list(blocks),
            Self::ForgetEnd { forgets } => w.list(forgets),
        };
    }

    fn decode(kind: u8, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            1 => Self::Grant { member: r.get()?, device: r.get()?, role: r.get()? },
            2 => Self::Invite {
                sig: r.get()?,
                hpke: r.get()?,
                role: r.get()?,
                max_uses: r.u16()?,
                expires_ms: r.u64()?,
                grant: r.bool("invite grant")?,
            },
            3 => Self::CancelInvite { invite: r.get()?, at_ms: r.u64()? },
            4 => Self::Join { invite: r.get()?, member: r.get()?, device: r.get()? },
            5 => Self::Witness { join: r.get()?, at_ms: r.u64()? },
            6 => Self::AddDevice { device: r.get()?, proof: r.get()? },
            7 => Self::RemoveDevice { device: r.get()?, cut: r.sorted_list(OP_CUT_HEADS_MAX, "cut")? },
            8 => Self::SetRole { grant: r.get()?, role: r.get()?, cut: r.sorted_list(OP_CUT_HEADS_MAX, "cut")? },
            9 => Self::Remove { grant: r.get()?, cut: r.sorted_list(OP_CUT_HEADS_MAX, "cut")? },
            10 => Self::SeederGrant {
                seeder: r.get()?,
                offer_hash: r.get()?,
                quota_bytes: r.u64()?,
                retention: r.get()?,
                member_share: r.u8()?,
            },
            11 => Self::SeederEnd { seeder: r.get()? },
            12 => Self::Policy { policy: r.get()? },
            13 => Self::KeyUpdate { grant: r.get()?, keys: r.get()? },
            14 => Self::EpochBundle {
                parents: r.sorted_list(EPOCH_PARENTS_MAX, "epoch parents")?,
                id: r.get()?,
                params: r.get()?,
                recipients: r.sorted_list(EPOCH_RECIPIENTS_MAX, "epoch recipients")?,
                envelopes: r.get()?,
                history: r.bytes(EPOCH_HISTORY_BYTES_MAX, "epoch history")?.to_vec(),
            },
            15 => Self::EpochGrant {
                epochs: r.sorted_list(EPOCH_GRANT_EPOCHS_MAX, "granted epochs")?,
                recipient: r.get()?,
                envelope: r.get()?,
                member: r.get()?,
            },
            16 => Self::Forget {
                at_ms: r.u64()?,
                states: r.sorted_list(FORGET_STATES_MAX, "states to forget in")?,
                blocks: r.sorted_list(FORGET_BLOCKS_MAX, "blocks to forget")?,
            },
            17 => Self::ForgetEnd { forgets: r.sorted_list(FORGET_PARTS_MAX, "forgets to end")? },
            other => return Err(DecodeError::BadValue { what: "op kind", found: other.into() }),
        })
    }
}

/// A membership op without its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The folder.
    pub folder: FolderId,
    /// Who must sign, in this order.
    pub signers: Vec<Signer>,
    /// The maximal ops the author knew: its log's frontier; sorted, never empty.
    pub deps: Vec<OpId>,
    /// What it does.
    pub body: OpBody,
    /// A note sealed to the members (a name or label), or empty.
    pub sealed: Vec<u8>,
}

impl Op {
    /// The signed bytes: everything but the signatures.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(OP_VERSION).u8(SUITE_ED25519).put(&self.folder).u8(self.body.kind());
        w.list(&self.signers).list(&self.deps);
        self.body.encode(&mut w);
        w.bytes(&self.sealed);
        w.into_bytes()
    }

    /// Reads the signed part; the signatures follow in `r`.
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = r.u8()?;
        if version != OP_VERSION {
            return Err(DecodeError::UnknownVersion { what: "op", found: version.into() });
        }
        let suite = r.u8()?;
        if suite != SUITE_ED25519 {
            return Err(DecodeError::UnknownVersion { what: "op suite", found: suite.into() });
        }
        let folder = r.get()?;
        let kind = r.u8()?;
        let signers = r.list(OP_SIGNERS_MAX, "op signers")?;
        let deps = r.sorted_list(OP_DEPS_MAX, "op deps")?;
        let body = OpBody::decode(kind, r)?;
        let sealed = r.bytes(OP_SEALED_BYTES_MAX, "op note")?.to_vec();
        let op = Self { folder, signers, deps, body, sealed };
        op.check()?;
        Ok(op)
    }

    /// What the encoding alone can not rule out: signer lists that do not fit the kind, values outside their range.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        let bad = |what, found: u64| Err(DecodeError::BadValue { what, found });
        if self.deps.is_empty() {
            return bad("number of deps", 0);
        }
        let count = self.signers.len();
        let signers_fit = match &self.body {
            OpBody::Remove { .. } | OpBody::SetRole { .. } => {
                count >= 1 && self.signers.windows(2).all(|pair| pair[0].grant < pair[1].grant)
            }
            OpBody::Join { invite, device, .. } => {
                count == 2
                    && self.signers[0].grant == *invite
                    && self.signers[1] == Signer { grant: OpId::ZERO, key: device.sig }
            }
            _ => count == 1,
        };
        if !signers_fit {
            return bad("op signers for this kind", count as u64);
        }
        match &self.body {
            OpBody::Invite { role: Role::Owner, .. } => bad("role of an invite", 4),
            OpBody::Invite { max_uses, .. } if *max_uses == 0 || *max_uses > INVITE_USES_MAX => {
                bad("uses of an invite", (*max_uses).into())
            }
            OpBody::SeederGrant { member_share, .. } if !(1..=100).contains(member_share) => {
                bad("member share", (*member_share).into())
            }
            OpBody::EpochBundle { recipients, .. } if recipients.is_empty() => bad("number of epoch recipients", 0),
            OpBody::EpochGrant { epochs, .. } if epochs.is_empty() => bad("number of granted epochs", 0),
            OpBody::Forget { states, .. } if states.is_empty() => bad("number of states to forget in", 0),
            OpBody::Forget { blocks, .. } if blocks.is_empty() => bad("number of blocks to forget", 0),
            OpBody::ForgetEnd { forgets } if forgets.is_empty() => bad("number of forgets to end", 0),
            _ => Ok(()),
        }
    }
}
