//! Members and invites, and the recovery kit.

use cobox_core::keys::ContactKey;
use cobox_core::members::{InviteRandom, Terms, invite_labelled};
use cobox_proto::codec::Canonical;
use cobox_proto::limits::INVITE_TICKETS_MAX;
use cobox_proto::members::Role as MemberRole;

use super::super::{Daemon, now_ms, random};
use super::{failed, stopped};
use crate::api::dto::{Invite, InviteRequest, Members, RecoveryKit, Role, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::FolderActor;

impl Daemon {
    pub(super) async fn list_members(&self, folder: String) -> Result<Members, ApiError> {
        let status = self.status_of(Some(folder)).await?;
        Ok(Members { members: status.folders.into_iter().flat_map(|f| f.members).collect() })
    }

    pub(super) async fn make_invite(&self, folder: String, request: InviteRequest) -> Result<Invite, ApiError> {
        let running = self.find(&folder)?;
        let Some(to) = request.to.clone() else {
            return Err(ApiError::new(ErrorCode::NotYet, "an invite needs the CoBox key of the person it is for")
                .hint("they find it with `cobox whoami`; give it with --to"));
        };
        let to: ContactKey = to.parse().map_err(|why: cobox_proto::text::TextError| {
            ApiError::new(ErrorCode::CodeUnreadable, why.to_string())
                .hint("ask for their CoBox key again: `cobox whoami`")
        })?;
        let role = match request.role {
            Role::Reader => MemberRole::Reader,
            Role::Editor => MemberRole::Editor,
            Role::Admin => MemberRole::Admin,
            Role::Owner => {
                return Err(ApiError::new(ErrorCode::RoleForbids, "nobody is invited as owner").hint("invite as admin"));
            }
        };
        let max_uses = u16::try_from(request.uses).ok().filter(|uses| *uses > 0).ok_or_else(|| {
            ApiError::new(ErrorCode::BadRequest, "an invite is good for 1 to 65535 people").hint("for example --uses 1")
        })?;
        let expires_ms = now_ms().saturating_add(request.expires_s.saturating_mul(1000));
        let terms = Terms { role, max_uses, expires_ms, grant: true };
        let own = self.ticket().to_bytes();
        let made = running.handle.ask(move |actor| invite_by(actor, terms, own)).await.ok_or_else(stopped)?;
        let code = made?.seal_to(&to, &random()).map_err(failed)?;
        Ok(Invite { code, role: request.role, expires_at: Time::from_ms(expires_ms as i64), uses: request.uses })
    }

    pub(super) fn make_kit(&self) -> RecoveryKit {
        let identity = self.identity();
        let mut seeders: Vec<String> =
            self.running().into_iter().flat_map(|running| running.config.seeders).map(|seeder| seeder.ticket).collect();
        seeders.sort();
        seeders.dedup();
        RecoveryKit { words: identity.root.words().to_text().to_string().into(), seeders }
    }
}

/// Makes the invite on the folder's own thread. The code names seeders first: they are there when people are not.
fn invite_by(actor: &mut FolderActor, terms: Terms, own: Vec<u8>) -> Result<cobox_core::members::InviteCode, ApiError> {
    if actor.role().is_none_or(|role| role < MemberRole::Admin) {
        return Err(ApiError::new(ErrorCode::RoleForbids, "only owners and admins of a folder invite")
            .hint("ask one of them: `cobox members list`"));
    }
    let seeders = actor.config.seeders.iter().filter_map(|seeder| seeder.ticket()).map(|ticket| ticket.to_bytes());
    let tickets: Vec<Vec<u8>> = seeders.take(INVITE_TICKETS_MAX - 1).chain([own]).collect();
    let chances = InviteRandom { seed: random(), encapsulation: random() };
    // The code says no name, for the seeder that passes the log on could read it; the op says it to whoever has the keys.
    let label = actor.label(&actor.config.name);
    let made = actor.with_author(|replica, author, keys| {
        let membership = replica.membership();
        invite_labelled(membership.log(), membership.roster(), keys, author, terms, tickets, label, &chances)
    });
    let made = made.ok_or_else(|| failed("this device has no keys of the folder yet"))?.map_err(failed)?;
    let grant = made.ops.last().map(|op| op.id());
    let envelopes = match (grant, made.envelopes.first()) {
        (Some(op), Some(envelope)) => vec![crate::folder::grant_envelope(op, envelope.clone())],
        _ => Vec::new(),
    };
    actor.add_ops(made.ops, envelopes);
    Ok(made.code)
}
