//! The half of membership that needs keys: founding a folder, starting and opening epochs, handing them on, inviting and
//! joining, names. Who belongs and what counts is resolved blindly in `cobox_proto::members`; here ops are made and secrets
//! opened.
//!
//! Random bytes are arguments. Everything made here is returned, not applied: the caller stores the ops and envelopes, adds them
//! to its log and sends them.

mod duties;
mod epochs;
mod founding;
mod invite;
mod joins;
mod link;
mod names;
mod ops;
mod places;
mod removals;
mod spoken;

pub use duties::{
    Deed, Duty, EPOCH_AGE_MS_MAX, EXPIRED_INVITE_STAYS_MS, Moment, Seat, bundle_envelopes, duty, grant_envelope,
};
pub use epochs::{
    EpochError, Granted, NewEpoch, OpenedEpochs, SealJob, Sealing, grant_epochs, mint_epoch, mint_epoch_by,
    open_epochs, repair_grants, seal_in_turn,
};
pub use founding::{Founded, Founding, FoundingError, FoundingRandom, found};
pub use invite::{
    INVITE_PREFIX, Invitation, InviteCode, InviteError, InviteRandom, InviteText, SealedInvite, Terms, invite,
    invite_labelled, join, join_waiting,
};
pub use joins::{
    JOIN_WORDS, WaitingJoin, approve_join, invited_name, join_words, joiner_name, refuse_join, same_words,
    waiting_joins,
};
pub use link::{LINK_PREFIX, LinkCode};
pub use names::{Label, LabelError, open_label};
pub use ops::{Author, add_device, device_proof, propose, propose_labelled, seeder_grant, witness};
pub use removals::{
    Change, RemovalError, cancel_invite, rekey, remove_device, remove_member, set_approve_joins, set_role,
};
pub use spoken::{Met, SPOKEN_WORDS, SpokenCode, SpokenError, SpokenInviter, SpokenJoiner};
