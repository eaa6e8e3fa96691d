//! Every bound on what comes from outside, with its unit and its reason. Nothing is allocated, walked or waited for
//! beyond these numbers.

/// Bytes of block content before header and padding: 4 MiB.
pub const BLOCK_PAYLOAD_BYTES_MAX: usize = 4 << 20;
/// Bytes of a whole block: payload, header, links, padding (formats F1).
pub const BLOCK_BYTES_MAX: usize = BLOCK_PAYLOAD_BYTES_MAX + (256 << 10);
/// Links of one block. A 64 KiB node of the smallest refs stays below it.
pub const BLOCK_LINKS_MAX: usize = 4096;
/// Levels of a tree (formats F4: depth <= 8).
pub const TREE_DEPTH_MAX: usize = 8;
/// Bytes of a head (formats F4).
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Heads merged by one head (formats F4).
pub const HEAD_MERGED_MAX: usize = 64;
/// Ops named by one head as its authority.
pub const HEAD_AUTH_MAX: usize = 64;
/// Steps by which a counter may jump (rule R11).
pub const COUNTER_JUMP_MAX: u64 = 1 << 20;
/// Bytes of a delta's payload (formats F4).
pub const DELTA_BYTES_MAX: usize = 64 << 10;
/// Bytes of a delta as it travels, sealed, with its links.
pub const DELTA_BLOCK_BYTES_MAX: usize = 256 << 10;

/// Bytes of a membership op with its signatures, envelopes apart.
pub const OP_BYTES_MAX: usize = 64 << 10;
/// Ops one op may depend on.
pub const OP_DEPS_MAX: usize = 64;
/// Signers of one op.
pub const OP_SIGNERS_MAX: usize = 64;
/// Ops of one folder's log. A folder of 200 devices with quarterly epochs for ten years stays below a tenth.
pub const LOG_OPS_MAX: usize = 65_536;
/// Recipients of an epoch.
pub const EPOCH_RECIPIENTS_MAX: usize = 1024;
/// Bytes of one sealed envelope: X-Wing ciphertext 1120, two secrets, tag, suite; a grant of many epochs is larger.
pub const ENVELOPE_BYTES_MAX: usize = 64 << 10;
/// Bytes of an op's sealed note (formats F8).
pub const OP_SEALED_BYTES_MAX: usize = 512;
/// Heads in the cut of a removal (rule R18): one per actor of the removed member that was not merged yet.
pub const OP_CUT_HEADS_MAX: usize = 256;
/// Blocks that one statement of what is to be forgotten names; 32 bytes each. A larger file's list of pieces is one of them.
pub const FORGET_BLOCKS_MAX: usize = 256;
/// States in which it lets go of them; 16 bytes each. With its blocks, its path and its deps it stays below [`INTRODUCTION_BYTES_MAX`],
/// so that it stands in nobody's way who is told of what came after it.
pub const FORGET_STATES_MAX: usize = 192;
/// Statements of one wish, and that one withdrawal names.
pub const FORGET_PARTS_MAX: usize = 64;
/// Bytes of a folder's log that such statements may take together: it still has to be delivered to a new seeder.
pub const FORGET_BYTES_MAX: usize = 4 << 20;
/// Bytes of the path that one of them says to the members: what a sealed note has room for.
pub const FORGET_PATH_BYTES_MAX: usize = 384;
/// Joins by one invite that wait for approval and are shown; whoever has its code could write more than anybody compares.
pub const JOINS_WAITING_MAX: usize = 16;
/// Times one invite may be used.
pub const INVITE_USES_MAX: u16 = 1000;
/// Grants from the genesis down to a member, and device certificates within a member. Seniority compares such paths.
pub const GRANT_DEPTH_MAX: usize = 64;
/// Epochs a new epoch may name as its parents: concurrent ones are rare.
pub const EPOCH_PARENTS_MAX: usize = 64;
/// Epochs handed over by one grant; 64 bytes each, so that the envelope stays below its bound.
pub const EPOCH_GRANT_EPOCHS_MAX: usize = 512;
/// Bytes of the sealed history of an epoch: 64 bytes for each older one.
pub const EPOCH_HISTORY_BYTES_MAX: usize = 30 << 10;
/// Ops that wait for ops they depend on.
pub const LOG_PENDING_OPS_MAX: usize = 1024;
/// Bytes of them together.
pub const LOG_PENDING_BYTES_MAX: usize = 8 << 20;

/// Bytes of one control frame before the peer has proved anything.
pub const FRAME_BYTES_BEFORE_AUTH_MAX: usize = 16 << 10;
/// Bytes of one control frame of an authenticated peer.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Milliseconds a peer has for its first proof.
pub const AUTH_TIMEOUT_MS: u64 = 10_000;
/// Cids in one want-list message.
pub const WANT_CIDS_MAX: usize = 1024;
/// Heads or ops in one message.
pub const BATCH_ITEMS_MAX: usize = 1024;
/// Folders one connection may open.
pub const CHANNELS_PER_CONNECTION_MAX: usize = 4096;
/// Member slots derived from one root secret (formats F6).
pub const MEMBER_SLOTS: usize = 256;
/// Addresses of one endpoint in a ticket, offer or code.
pub const ADDRESSES_MAX: usize = 16;
/// Tickets in an invite code (formats F7).
pub const INVITE_TICKETS_MAX: usize = 3;

/// Member keys one recovery question may name; 256 slots are asked in four questions that each fit the frame before proof.
pub const FIND_PROOFS_MAX: usize = 64;
/// Bytes of ops, heads or envelopes put into one message before the next is begun. Well below a frame, so that one item over it
/// still fits.
pub const BATCH_BYTES_TARGET: usize = 256 << 10;
/// Bytes of a signed note in which a device tells the others its addresses.
pub const ADDRESS_NOTE_BYTES_MAX: usize = 2 << 10;
/// Bytes of one address as text (a relay's name and port).
pub const ADDRESS_BYTES_MAX: usize = 256;
/// Bytes of a receipt.
pub const RECEIPT_BYTES_MAX: usize = 1 << 10;
/// Opens and questions a peer may have refused before its first success: a guesser is shown the door.
pub const REFUSALS_BEFORE_AUTH_MAX: usize = 64;
/// Opens of one connection that may wait for an answer.
pub const OPENS_WAITING_MAX: usize = 64;
/// Milliseconds after which a refusal is told, whatever its reason: absent and forbidden take equally long.
pub const REFUSAL_DELAY_MS: u64 = 200;

/// The highest nameplate: three digits are said quickly, and a mailbox holds fewer.
pub const NAMEPLATE_MAX: u16 = 999;
/// Nameplates in one mailbox, those that are spent included until their time is over. 128 bytes each.
pub const MAILBOX_SLOTS_MAX: usize = 256;
/// The same of one machine.
pub const MAILBOX_SLOTS_PER_INVITER_MAX: usize = 16;
/// Milliseconds a nameplate lies in a mailbox at most.
pub const MAILBOX_STAY_MS: u64 = 15 * 60 * 1000;
/// Nameplates one source may ask a mailbox for in an hour; whatever it asks for beyond that is answered as if it were not there.
pub const MAILBOX_ASKED_PER_HOUR_MAX: usize = 5;
/// Sources a mailbox remembers; beyond that the one that has been quiet for longest is forgotten.
pub const MAILBOX_SOURCES_MAX: usize = 4096;
/// Milliseconds after which somebody who answered a nameplate is told no, whatever the reason: absent, spent and wrong take equally
/// long. So long an inviter has for its answer. With the way there it is well within [`AUTH_TIMEOUT_MS`].
pub const MAILBOX_REFUSAL_MS: u64 = 4_000;
/// Bytes of an invite code sealed for whoever said the words: three tickets and what is around them.
pub const SPOKEN_SEALED_BYTES_MAX: usize = 4 << 10;

/// Blocks one peer may have asked for and not yet got.
pub const SERVE_QUEUE_MAX: usize = 8192;
/// Blocks on their way to one peer at a time.
pub const SERVING_PER_PEER_MAX: usize = 8;
/// Blocks of one folder on their way to all peers at a time: memory, at 4 MiB each.
pub const SERVING_MAX: usize = 64;
/// Ops that somebody without a certificate (an invite's holder, a member without a device) may add while connected.
pub const OPS_FROM_GUEST_MAX: usize = 64;
/// Ops by which a device that is not known yet introduces itself.
pub const INTRODUCTION_OPS_MAX: usize = 64;
/// Their bytes: with all around them they fit into a frame of a peer that has proved nothing yet.
pub const INTRODUCTION_BYTES_MAX: usize = 14 << 10;
/// Devices of which it is remembered why what they introduced themselves with does not hold.
pub const VOID_INTRODUCTIONS_MAX: usize = 16;
/// Frames by which a device is told of its removal, each as large as an introduction.
pub const REMOVAL_FRAMES_MAX: usize = 64;
/// Heads of a peer remembered as known to it, so as not to be told again.
pub const HEADS_TOLD_MAX: usize = 4096;
/// Tips in a peer's list of heads. 20,000 actors is far beyond any honest folder.
pub const TIPS_MAX: usize = 65_536;
/// Receipts remembered of one seeder.
pub const RECEIPTS_PER_SEEDER_MAX: usize = 256;

/// Bytes of a log that is delivered to a seeder which does not host the folder yet.
pub const CLAIM_BYTES_MAX: usize = 16 << 20;
/// Actors of one device whose unmerged heads a seeder keeps for good (rule R6).
pub const UNMERGED_ACTORS_PER_DEVICE_MAX: usize = 64;

/// Messages of envelopes on a first visit: a quarter MiB each at most, for the longest of histories.
pub const NEWCOMER_ENVELOPES_MAX: usize = 4096;

/// Heads of a folder that wait for something not here yet.
pub const HEADS_PENDING_MAX: usize = 4096;
/// Of these, how many one peer may have brought.
pub const HEADS_PENDING_PER_PEER_MAX: usize = 1024;
/// Refused heads remembered, so that their heirs are refused without being waited for.
pub const HEADS_REFUSED_KEPT_MAX: usize = 4096;

/// Bytes of one name in a folder.
pub const NAME_BYTES_MAX: usize = 255;
/// Levels of directories a view goes down; a directory below hangs under the root instead.
pub const PATH_DEPTH_MAX: usize = 256;
/// Bytes of a directory's path in a view, a slash for each name; a longer one hangs under the root instead. Linux allows
/// no longer path in one call, and without a bound a chain of long names makes a view larger than any memory.
pub const PATH_BYTES_MAX: usize = 4096;
/// Bytes of file content kept inside the record (design 3.3).
pub const INLINE_BYTES_MAX: usize = 512;
/// Chunk refs kept inside the record; longer files use a manifest.
pub const RECORD_REFS_MAX: usize = 64;
/// Concurrent values of one register of one item. A folder of 200 devices that all edit one file offline stays below.
pub const RECORD_VALUES_MAX: usize = 1024;
/// Fork points of a state; one for every time a device's database was found running twice.
pub const FORK_POINTS_MAX: usize = 65_536;
/// Actors of a context, over the whole life of a folder.
pub const ACTORS_MAX: usize = 1 << 20;
/// Bytes of a display name or label.
pub const LABEL_BYTES_MAX: usize = 128;
/// Bytes a vault may take at a seeder (formats F9).
pub const VAULT_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a sealed note; the largest is the history of an epoch.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// Epochs whose secrets one device keeps for one folder. Weekly epochs for seventy years stay below.
pub const FOLDER_EPOCHS_MAX: usize = 4096;
/// Bytes of one ticket in an invite code: a key and its addresses.
pub const TICKET_BYTES_MAX: usize = 1024;
/// Files that one device says it has open; more than a person works on.
pub const EDITING_FILES_MAX: usize = 32;
/// Bytes in which it says so, before they are sealed.
pub const EDITING_NOTE_BYTES_MAX: usize = 12 << 10;
/// ... and sealed, with padding and the epoch's tag.
pub const EDITING_SEALED_BYTES_MAX: usize = 16 << 10;
/// Devices of one folder whose word on that is remembered.
pub const EDITING_DEVICES_MAX: usize = 1024;
