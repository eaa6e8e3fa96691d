//! Invites: made, listed, closed.

use cobox_core::keys::ContactKey;
use cobox_core::members::{InviteCode, InviteRandom, RemovalError, Terms, grant_envelope, invite_labelled};
use cobox_proto::codec::Canonical;
use cobox_proto::id::OpId;
use cobox_proto::limits::INVITE_TICKETS_MAX;
use cobox_proto::members::{InviteInfo, Role as MemberRole, Void};

use super::super::{Daemon, now_ms, random};
use super::people::meant_role;
use super::status::role as shown_role;
use super::{failed, stopped};
use crate::api::dto::{Invite, InviteRequest, InviteStatus, Invites, Role, Time};
use crate::api::{ApiError, ErrorCode};
use crate::folder::FolderActor;

/// Characters of an id that are shown.
pub(super) const ID_CHARS: usize = 12;

impl Daemon {
    pub(super) async fn make_invite(&self, folder: String, request: InviteRequest) -> Result<Invite, ApiError> {
        let running = self.find(&folder)?;
        let to: Option<ContactKey> =
            request.to.as_deref().map(str::parse).transpose().map_err(|why: cobox_proto::text::TextError| {
                ApiError::new(ErrorCode::CodeUnreadable, why.to_string())
                    .hint("ask for their CoBox key again: `cobox whoami`")
            })?;
        if request.role == Role::Owner {
            return Err(ApiError::new(ErrorCode::RoleForbids, "nobody is invited as owner").hint("invite as admin"));
        }
        let role = meant_role(request.role);
        let max_uses = u16::try_from(request.uses)
            .ok()
            .filter(|uses| (1..=cobox_proto::limits::INVITE_USES_MAX).contains(uses))
            .ok_or_else(|| {
                ApiError::new(ErrorCode::BadRequest, "an invite is good for 1 to 1000 people")
                    .hint("for example --uses 1")
            })?;
        let expires_ms = now_ms().saturating_add(request.expires_s.saturating_mul(1000));
        let terms = Terms { role, max_uses, expires_ms, grant: !request.approve };
        let own = self.ticket().to_bytes();
        let made = running.handle.ask(move |actor| invite_by(actor, terms, own)).await.ok_or_else(stopped)?;
        let (made, approve) = made?;
        let code = match &to {
            Some(to) => made.seal_to(to, &random()).map_err(failed)?,
            None => made.to_text().to_string(),
        };
        Ok(Invite {
            code,
            role: request.role,
            expires_at: Time::from_ms(expires_ms as i64),
            uses: request.uses,
            id: made.invite.to_string()[..ID_CHARS].to_owned(),
            anybody: to.is_none(),
            approve,
        })
    }

    pub(super) async fn list_invites(&self, folder: String) -> Result<Invites, ApiError> {
        let running = self.find(&folder)?;
        let invites = running.handle.ask(|actor| {
            let roster = actor.replica.membership().roster();
            roster.invites_open().map(|invite| shown(actor, invite)).collect()
        });
        Ok(Invites { invites: invites.await.ok_or_else(stopped)? })
    }

    pub(super) async fn cancel_invite(&self, folder: String, typed: String) -> Result<InviteStatus, ApiError> {
        let running = self.find(&folder)?;
        running.handle.ask(move |actor| cancel(actor, &typed)).await.ok_or_else(stopped)?
    }
}

fn shown(actor: &FolderActor, invite: &InviteInfo) -> InviteStatus {
    InviteStatus {
        id: invite.id.to_string()[..ID_CHARS].to_owned(),
        role: shown_role(invite.role),
        by: invited_by(actor, &invite.id).unwrap_or_default(),
        uses: invite.max_uses.into(),
        used: u32::try_from(invite.used).unwrap_or(u32::MAX),
        expires_at: Time::from_ms(i64::try_from(invite.expires_ms).unwrap_or(i64::MAX)),
        expired: now_ms() > invite.expires_ms,
        approve: invite.approve,
    }
}

/// Who made an invite.
pub(super) fn invited_by(actor: &FolderActor, invite: &OpId) -> Option<String> {
    let op = actor.replica.membership().op(invite)?;
    actor.member_name(&op.op().signers[0].grant)
}

fn cancel(actor: &mut FolderActor, typed: &str) -> Result<InviteStatus, ApiError> {
    let wanted = typed.to_ascii_lowercase();
    let roster = actor.replica.membership().roster();
    let mut found = roster.invites_open().filter(|invite| invite.id.to_string().starts_with(&wanted));
    let (first, more) = (found.next().cloned(), found.next().is_some());
    drop(found);
    let Some(invite) = first.filter(|_| !more && !wanted.is_empty()) else {
        return Err(ApiError::new(ErrorCode::InviteNotFound, format!("no open invite begins with \"{typed}\""))
            .hint("`cobox invites list` names them"));
    };
    let told = shown(actor, &invite);
    match actor.cancel_invite(invite.id) {
        Ok(_) => Ok(told),
        Err(RemovalError::Refused(Void::RoleTooLow)) => {
            Err(ApiError::new(ErrorCode::RoleForbids, "an invite is closed by who made it, or by owners and admins")
                .hint("ask one of them: `cobox members list`"))
        }
        Err(why) => Err(failed(why)),
    }
}

/// Makes the invite on the folder's own thread; answers with whether its joins wait for approval: if it was asked for, if the folder wants it
/// of all, and always for admins. The code names seeders first: they are there when people are not.
fn invite_by(actor: &mut FolderActor, terms: Terms, own: Vec<u8>) -> Result<(InviteCode, bool), ApiError> {
    if actor.role().is_none_or(|role| role < MemberRole::Admin) {
        return Err(ApiError::new(ErrorCode::RoleForbids, "only owners and admins of a folder invite")
            .hint("ask one of them: `cobox members list`"));
    }
    let wants_approval = actor.replica.membership().roster().policy().approve_joins;
    let terms = Terms { grant: terms.grant && !wants_approval && terms.role < MemberRole::Admin, ..terms };
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
        (Some(op), Some(envelope)) => vec![grant_envelope(op, envelope.clone())],
        _ => Vec::new(),
    };
    actor.add_ops(made.ops, envelopes);
    Ok((made.code, !terms.grant))
}
