//! What the operator's API says, as JSON: the only shapes there are. Keys are stable; more may come.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Timestamp);

impl Time {
    /// From milliseconds since 1970; the far future is the last moment that can be written.
    pub fn from_ms(ms: u64) -> Self {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        Self(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX))
    }

    /// Milliseconds since 1970.
    pub fn as_ms(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map(Self).map_err(de::Error::custom)
    }
}

/// The service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name, as its operator calls it.
    pub name: String,
    /// The program's.
    pub version: String,
    /// The key by which folders know it.
    pub key: String,
    /// Where it is reached, loopback last.
    pub addresses: Vec<String>,
    /// The same as one code, for members: to find it again when it has moved, and to recover.
    pub ticket: String,
    /// Promised, to folders and in open offers.
    pub space_bytes: u64,
    /// Used of that.
    pub used_bytes: u64,
    /// How many it hosts, vaults too.
    pub folders: usize,
    /// Offers nobody has claimed yet.
    pub open_offers: usize,
    /// What is wrong, if anything.
    pub problems: Vec<String>,
}

/// What sort of folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Files of several people.
    Folder,
    /// One person's recovery data.
    Vault,
}

/// A hosted folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRow {
    /// Its id; its name is not known here.
    pub id: String,
    /// Folder or vault.
    pub kind: Kind,
    /// For whom the offer was made.
    pub label: String,
    /// Since when it is here.
    pub since: Time,
    /// Bytes that count against the quota.
    pub used_bytes: u64,
    /// Of those, what only its history needs.
    pub history_bytes: u64,
    /// Complete states that are kept.
    pub states: usize,
    /// Blocks that nothing needs any more; they lie for a week before they are deleted, and do not count.
    pub trash_blocks: usize,
    /// Bytes it may use.
    pub quota_bytes: u64,
    /// Whether the newest state is here with everything in it.
    pub complete: bool,
    /// When the newest complete state became so.
    pub head_at: Option<Time>,
    /// Blocks on disk.
    pub blocks: u64,
    /// Members.
    pub members: usize,
    /// Members' devices that are connected now.
    pub connected: usize,
    /// When one was last here.
    pub last_seen: Option<Time>,
    /// Whether its members still want it to be kept here.
    pub hired: bool,
    /// When all of it had been read and compared with its names last; this happens by itself every thirty days.
    pub checked_at: Option<Time>,
    /// Blocks that were damaged, that are needed and that no member has brought again yet; the first hundred.
    pub damaged: Vec<String>,
    /// What is wrong, if anything.
    pub problem: Option<String>,
}

/// All hosted folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folders {
    /// By id.
    pub folders: Vec<FolderRow>,
}

/// One hosted folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderReply {
    /// The folder.
    pub folder: FolderRow,
    /// What else is known of it here.
    pub sees: Sees,
}

/// What whoever keeps a folder sees of its people: keys and times, no names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sees {
    /// Who belongs to it.
    pub members: Vec<MemberSeen>,
    /// The newest states.
    pub states: Vec<StateSeen>,
    /// How many states there are.
    pub states_all: usize,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSeen {
    /// The beginning of their key in this folder; in another folder they have another.
    pub key: String,
    /// The beginnings of their devices' keys.
    pub devices: Vec<String>,
}

/// A state that a device signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSeen {
    /// The beginning of the device's key.
    pub device: String,
    /// When it was written, as the device says.
    pub written_at: Time,
    /// Bytes that were new in it, sealed and padded, as the device announced.
    pub new_bytes: u64,
}

/// A wish for an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferRequest {
    /// Room.
    pub space_bytes: u64,
    /// For whom.
    #[serde(default)]
    pub label: String,
    /// History is kept at least so long.
    pub keep_days: u32,
    /// It must be claimed within so long.
    pub expires_s: u64,
}

/// An offer. It holds a secret: whoever has it may use it, once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferReply {
    /// The code to hand over.
    pub offer: String,
    /// Its name, which is no secret.
    pub id: String,
    /// For whom.
    pub label: String,
    /// Room.
    pub space_bytes: u64,
    /// History is kept at least so long.
    pub keep_days: u32,
    /// Until when it can be claimed.
    pub expires_at: Time,
    /// Room left on the disk.
    pub disk_free_bytes: u64,
}

impl std::fmt::Debug for OfferReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OfferReply({})", self.id)
    }
}

/// What a drop took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropReply {
    /// The folder, as it was.
    pub folder: FolderRow,
    /// Vaults of its members that went with it.
    pub vaults: usize,
    /// Whether it may be the last copy: members want it kept here, and whether others have one is not known here.
    #[serde(default)]
    pub may_be_last: bool,
    /// Whether it is gone; a preview only says what would go.
    pub dropped: bool,
}

/// A wish for a check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// Take damaged blocks off the shelf, so that members bring them again.
    #[serde(default)]
    pub repair: bool,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReply {
    /// Blocks read.
    pub blocks: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong.
    pub damaged: Vec<Damage>,
    /// Whether damaged blocks are fetched again now.
    pub repaired: bool,
}

/// A damaged block, or a folder that can not be read at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The folder.
    pub folder: String,
    /// The block.
    pub block: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// The answer to `down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Always true.
    pub stopping: bool,
}
