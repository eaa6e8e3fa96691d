//! Members: who belongs, what they may do, who goes; and the recovery kit.

use std::collections::BTreeMap;

use cobox_core::members::{Change, RemovalError};
use cobox_proto::id::OpId;
use cobox_proto::limits::LABEL_BYTES_MAX;
use cobox_proto::members::{Member, Role as MemberRole, Void};

use super::super::{Daemon, Running};
use super::status::role as shown_role;
use super::{failed, folder_name, stopped};
use crate::api::dto::{
    FolderReply, MemberChange, MemberName, Members, NicknameRequest, RecoveryKit, RemoveRequest, Role, RoleRequest,
};
use crate::api::{ApiError, ErrorCode, EventKind, KEY_CHARS_MIN, News};
use crate::folder::FolderActor;

impl Daemon {
    pub(super) async fn list_members(&self, folder: String) -> Result<Members, ApiError> {
        let status = self.status_of(Some(folder)).await?;
        Ok(Members { members: status.folders.into_iter().flat_map(|f| f.members).collect() })
    }

    pub(super) async fn remove_member(
        &self,
        folder: String,
        who: String,
        request: RemoveRequest,
    ) -> Result<MemberChange, ApiError> {
        let running = self.find(&folder)?;
        let dry_run = request.dry_run;
        let changed = running.handle.ask(move |actor| {
            let member = find_member(actor, &who)?;
            let before = member_names(actor);
            let change = actor.remove_member(member.grant, dry_run).map_err(|why| refused(&member, &why))?;
            Ok::<_, ApiError>(told(actor, &member, None, &before, &change, dry_run))
        });
        let changed = changed.await.ok_or_else(stopped)??;
        if !dry_run {
            let text = format!("{}: {} was sent away", running.config.name, changed.member.name);
            self.tell_of_member(&running, &changed, text);
        }
        Ok(changed)
    }

    pub(super) async fn change_role(
        &self,
        folder: String,
        who: String,
        request: RoleRequest,
    ) -> Result<MemberChange, ApiError> {
        let running = self.find(&folder)?;
        let RoleRequest { role, dry_run } = request;
        let changed = running.handle.ask(move |actor| {
            let member = find_member(actor, &who)?;
            let before = member_names(actor);
            match actor.set_role(member.grant, meant_role(role), dry_run) {
                Ok(change) => Ok(told(actor, &member, Some(role), &before, &change, dry_run)),
                Err(RemovalError::SameRole) => {
                    Ok(told(actor, &member, Some(role), &before, &Change::default(), dry_run))
                }
                Err(why) => Err(refused(&member, &why)),
            }
        });
        let changed = changed.await.ok_or_else(stopped)??;
        if !dry_run {
            let text = format!("{}: the role of {} changed", running.config.name, changed.member.name);
            self.tell_of_member(&running, &changed, text);
        }
        Ok(changed)
    }

    pub(super) async fn nickname_member(
        &self,
        folder: String,
        who: String,
        request: NicknameRequest,
    ) -> Result<MemberName, ApiError> {
        let running = self.find(&folder)?;
        let nickname = request.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        if nickname.as_ref().is_some_and(|name| name.len() > LABEL_BYTES_MAX || name.chars().any(char::is_control)) {
            return Err(ApiError::new(
                ErrorCode::BadRequest,
                "a nickname has 1 to 128 bytes and no control characters",
            )
            .hint("choose another"));
        }
        let named = running.handle.ask(move |actor| {
            let member = find_member(actor, &who)?;
            actor.set_nickname(member.grant, nickname);
            let name = actor.member_name(&member.grant).unwrap_or_else(|| member.sig.short());
            Ok::<_, ApiError>(MemberName { name, key: member.sig.to_string(), role: shown_role(member.role) })
        });
        let named = named.await.ok_or_else(stopped)??;
        let text = format!("{}: a member is called {} here", running.config.name, named.name);
        let news = News::new(EventKind::FolderChanged, text).folder(running.config.id.clone());
        self.events.publish(news.who(named.key.clone()));
        Ok(named)
    }

    pub(super) async fn new_keys(&self, folder: String) -> Result<FolderReply, ApiError> {
        let running = self.find(&folder)?;
        match running.handle.ask(FolderActor::rekey).await.ok_or_else(stopped)? {
            Ok(_) => Ok(FolderReply { folder: folder_name(&running), already: false }),
            Err(RemovalError::Refused(Void::RoleTooLow)) => {
                Err(ApiError::new(ErrorCode::RoleForbids, "only owners and admins give a folder new keys")
                    .hint("ask one of them: `cobox members list`"))
            }
            Err(why) => Err(failed(why)),
        }
    }

    pub(super) async fn reseal_contents(&self, folder: String) -> Result<FolderReply, ApiError> {
        let running = self.find(&folder)?;
        let begun = running.handle.ask(|actor| {
            let already = actor.config.reseal;
            let may = actor.role() >= Some(MemberRole::Editor);
            if may && !already {
                actor.reseal_contents();
            }
            (may, already)
        });
        match begun.await.ok_or_else(stopped)? {
            (true, already) => Ok(FolderReply { folder: folder_name(&running), already }),
            (false, _) => Err(ApiError::new(ErrorCode::RoleForbids, "who may only read seals nothing anew")
                .hint("ask an editor, admin or owner: `cobox members list`")),
        }
    }

    fn tell_of_member(&self, running: &Running, changed: &MemberChange, text: String) {
        let news = News::new(EventKind::FolderChanged, text).folder(running.config.id.clone());
        self.events.publish(news.who(changed.member.key.clone()));
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

pub(super) fn meant_role(role: Role) -> MemberRole {
    match role {
        Role::Reader => MemberRole::Reader,
        Role::Editor => MemberRole::Editor,
        Role::Admin => MemberRole::Admin,
        Role::Owner => MemberRole::Owner,
    }
}

/// The member that a person means by a name or the beginning of a key.
pub(super) fn find_member(actor: &FolderActor, typed: &str) -> Result<Member, ApiError> {
    let roster = actor.replica.membership().roster();
    let named = |member: &&Member| actor.member_name(&member.grant).as_deref() == Some(typed);
    let own = |member: &&Member| actor.own_name(&member.grant).as_deref() == Some(typed);
    let mut found: Vec<&Member> = roster.members().filter(named).collect();
    if found.is_empty() {
        found = roster.members().filter(own).collect();
    }
    if found.is_empty() && typed.len() >= KEY_CHARS_MIN {
        let prefix = typed.to_ascii_lowercase();
        found = roster.members().filter(|member| member.sig.to_string().starts_with(&prefix)).collect();
    }
    match found[..] {
        [member] => Ok(member.clone()),
        [] => Err(ApiError::new(ErrorCode::MemberNotFound, format!("nobody called \"{typed}\" is in this folder"))
            .hint("`cobox members list` names them, with their keys")),
        _ => Err(ApiError::new(ErrorCode::MemberAmbiguous, format!("{} members are called \"{typed}\"", found.len()))
            .hint("give the beginning of the key instead: `cobox members list` shows it")),
    }
}

fn member_names(actor: &FolderActor) -> BTreeMap<OpId, MemberName> {
    let named = |member: &Member| {
        let name = actor.member_name(&member.grant).unwrap_or_else(|| member.sig.short());
        (member.grant, MemberName { name, key: member.sig.to_string(), role: shown_role(member.role) })
    };
    actor.replica.membership().roster().members().map(named).collect()
}

/// What a change did, or would do, for people to read.
fn told(
    actor: &FolderActor,
    member: &Member,
    role: Option<Role>,
    before: &BTreeMap<OpId, MemberName>,
    change: &Change,
    dry_run: bool,
) -> MemberChange {
    let name = before.get(&member.grant).cloned();
    let name = name.unwrap_or_else(|| MemberName {
        name: member.sig.short(),
        key: member.sig.to_string(),
        role: shown_role(member.role),
    });
    let also_gone = change.gone.iter().filter(|grant| **grant != member.grant).filter_map(|grant| before.get(grant));
    let new_keys = change.deed.keys.is_some();
    let sentences = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    let (keeps, loses) = match role {
        None => (
            sentences(&[
                "the files that are on their devices now, and what they copied elsewhere",
                "the keys of what was written until now: a seeder who helped them could let them read that again",
            ]),
            sentences(&[
                "everything that is written from now on, names of files as well",
                "the connection to the other members and to the seeders, at once wherever those can be reached",
                "what they write from now on; what nobody has seen yet is held aside: `cobox quarantine list`",
            ]),
        ),
        Some(Role::Reader) if member.role > MemberRole::Reader => (
            sentences(&["everything in the folder, and what will be written"]),
            sentences(&[
                "the right to change anything; what nobody has seen yet is held aside: `cobox quarantine list`",
            ]),
        ),
        Some(_) => (Vec::new(), Vec::new()),
    };
    MemberChange {
        dry_run,
        member: name,
        role,
        words: actor.member_words(&member.grant),
        devices: member.devices.len() as u64,
        also_gone: also_gone.cloned().collect(),
        closed_invites: change.closed_invites.len() as u64,
        new_keys,
        keeps,
        loses,
    }
}

/// Why a person may not do that.
pub(super) fn refused(member: &Member, why: &RemovalError) -> ApiError {
    let text = why.to_string();
    match why {
        RemovalError::NotMember => ApiError::new(ErrorCode::RoleForbids, text)
            .hint("nothing can be changed from here; `cobox leave` ends it, your files stay"),
        RemovalError::NoTarget => {
            ApiError::new(ErrorCode::MemberNotFound, text).hint("`cobox members list` names who is there")
        }
        RemovalError::Refused(Void::RoleTooLow) => {
            ApiError::new(ErrorCode::RoleForbids, "only owners and admins of a folder change who belongs to it")
                .hint("ask one of them: `cobox members list`")
        }
        RemovalError::Refused(Void::NotSenior) if member.role >= MemberRole::Admin => ApiError::new(
            ErrorCode::RoleForbids,
            "an admin is sent away, or made less, only by an admin who was there before them, or an owner",
        )
        .hint("ask who was there before: `cobox members list` shows the most senior first"),
        RemovalError::Refused(Void::NotSenior) => {
            ApiError::new(ErrorCode::RoleForbids, "nobody does this to themselves")
                .hint("to go yourself, use `cobox leave`")
        }
        RemovalError::Refused(_) | RemovalError::Overruled => {
            ApiError::new(ErrorCode::Refused, text).hint("look again who belongs to it: `cobox members list`")
        }
        _ => failed(text),
    }
}
