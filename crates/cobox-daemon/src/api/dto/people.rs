//! Members of a folder, and those who are invited.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads and writes.
    Editor,
    /// Also invites, removes and places backups.
    Admin,
    /// Founded it, or was made its owner.
    Owner,
}

/// A member of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberStatus {
    /// What one calls them: what they call themselves, or a nickname that nobody else knows.
    pub name: String,
    /// What they call themselves, where `name` is a nickname.
    #[serde(default)]
    pub own_name: Option<String>,
    /// The key in this folder.
    pub key: String,
    /// Six words that stand for the keys they joined with; they stand on their own screen too. None for who founded the folder.
    #[serde(default)]
    pub words: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether it is oneself.
    pub you: bool,
    /// Whether one of their devices is connected.
    pub online: bool,
    /// Whether they have everything we have.
    pub in_step: bool,
    /// When one of their devices was last connected.
    pub last_seen: Option<Time>,
}

/// `GET folders/{folder}/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Members {
    /// By seniority.
    pub members: Vec<MemberStatus>,
}

/// `POST folders/{folder}/invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// The CoBox key of the one person it is for; without it, whoever has the code may join.
    pub to: Option<String>,
    /// What they may do.
    pub role: Role,
    /// How long it is good.
    pub expires_s: u64,
    /// How many may join with it.
    pub uses: u32,
    /// Whether who joins waits until an owner or admin approves. For admins it is so always.
    #[serde(default)]
    pub approve: bool,
}

/// An invite code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// The code to send.
    pub code: String,
    /// What who joins may do.
    pub role: Role,
    /// Until when it is good.
    pub expires_at: Time,
    /// How many may join with it.
    pub uses: u32,
    /// Names it among the folder's invites.
    pub id: String,
    /// Whether whoever has the code may join: it was made for nobody in particular, and is to be kept like a key.
    pub anybody: bool,
    /// Whether who joins waits until an owner or admin approves.
    #[serde(default)]
    pub approve: bool,
}

// ---- backups -----------------------------------------------------------------------------------------------------

/// `GET folders/{folder}/invites`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invites {
    /// Those by which somebody may still join, and those that have expired and are not closed yet.
    pub invites: Vec<InviteStatus>,
}

/// An invite that was made. The code itself is known to whoever has it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InviteStatus {
    /// Names it, in this folder.
    pub id: String,
    /// What who joins may do.
    pub role: Role,
    /// Who made it.
    pub by: String,
    /// How many may join with it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Until when it is good.
    pub expires_at: Time,
    /// Whether that time is over.
    pub expired: bool,
    /// Whether who joins by it waits until an owner or admin approves.
    #[serde(default)]
    pub approve: bool,
}

// ---- what holds for all ------------------------------------------------------------------------------------------

/// `GET folders/{folder}/policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FolderPolicy {
    /// Whether whoever joins waits until an owner or admin approves, whatever their code.
    pub approve_joins: bool,
    /// After how many days the folder has new keys by itself. The same for every folder.
    pub new_keys_days: u64,
}

/// `PUT folders/{folder}/policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRequest {
    /// Whether whoever joins from now on waits until an owner or admin approves, whatever their code.
    pub approve_joins: bool,
}

// ---- spoken invites ----------------------------------------------------------------------------------------------

/// `POST folders/{folder}/spoken`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpokenRequest {
    /// What who joins may do.
    pub role: Role,
    /// Whether who joins waits until an owner or admin approves. For admins it is so always.
    #[serde(default)]
    pub approve: bool,
    /// How long the invite is good that is given to whoever says the words.
    pub expires_s: u64,
    /// How long to wait for somebody who says them: a quarter of an hour at most.
    pub wait_s: u64,
}

/// `POST folders/{folder}/spoken/{nameplate}/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpokenWaitRequest {
    /// How long to wait for somebody who says the words.
    pub timeout_ms: u64,
}

/// How an invite by words stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpokenState {
    /// Nobody said anything yet.
    Waiting,
    /// Somebody said the words, and has the invite.
    Given,
    /// Somebody said other words. Nobody is let in by it any more.
    Wrong,
    /// Its time is over, or it was ended.
    Over,
}

/// An invite by a nameplate and three words, for somebody who types them now. They are good for one try, and end when nobody
/// waits for them for half a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpokenInvite {
    /// The number. It names the invite, and is no secret.
    pub nameplate: u16,
    /// The number and the words, like `7-apple-river-moon`.
    pub words: String,
    /// What who joins may do.
    pub role: Role,
    /// Whether who joins waits until an owner or admin approves.
    pub approve: bool,
    /// Until when it waits.
    pub until: Time,
    /// At how many seeders the other finds it, besides at this device.
    pub seeders: u64,
    /// Where to find it for somebody who knows none of these seeders and is not in the same local network: tickets, seeders first. No secret.
    pub via: Vec<String>,
    /// How it stands.
    pub state: SpokenState,
    /// The invite that was given, among the folder's invites.
    pub invite: Option<String>,
}

// ---- going -------------------------------------------------------------------------------------------------------

/// `POST folders/{folder}/members/{who}/remove`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// Only says what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST folders/{folder}/members/{who}/role`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRequest {
    /// What they may do from now on.
    pub role: Role,
    /// Only says what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// `POST folders/{folder}/members/{who}/nickname`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NicknameRequest {
    /// What to call them on this device; their own name again when left out.
    pub name: Option<String>,
}

/// A member, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberName {
    /// What they call themselves.
    pub name: String,
    /// The key in this folder.
    pub key: String,
    /// What they may do, or might.
    pub role: Role,
}

/// What changed about a member, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberChange {
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Who, as they were before.
    pub member: MemberName,
    /// What they may do now; none if they are gone.
    pub role: Option<Role>,
    /// Six words that stand for the keys they joined with. Before somebody becomes an admin, compare them.
    #[serde(default)]
    pub words: Option<String>,
    /// How many devices of theirs it concerns.
    pub devices: u64,
    /// Others who go with them, because nobody else let them in.
    pub also_gone: Vec<MemberName>,
    /// Open invites that close with it.
    pub closed_invites: u64,
    /// Whether what is written from now on has new keys.
    pub new_keys: bool,
    /// What they keep, in sentences.
    pub keeps: Vec<String>,
    /// What they lose, in sentences.
    pub loses: Vec<String>,
}

// ---- what was written by who is gone -----------------------------------------------------------------------------

/// `GET folders/{folder}/quarantine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quarantine {
    /// The newest first.
    pub held_aside: Vec<HeldAside>,
}

/// Changes of a removed device that others had not seen before: they are kept and do not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldAside {
    /// Names it, in this folder.
    pub id: String,
    /// Who wrote it.
    pub by: String,
    /// On which device.
    pub device: String,
    /// When, by that device's clock.
    pub at: Option<Time>,
    /// How many times it was saved.
    pub changes: u64,
}

/// `POST folders/{folder}/quarantine/adopt` and `.../discard`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineRequest {
    /// One of them by the beginning of its id, otherwise all.
    pub id: Option<String>,
}
