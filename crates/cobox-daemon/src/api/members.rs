//! Who belongs to a folder, and invitations to it.

use axum::Json;
use axum::extract::State;

use super::dto::{
    FolderPolicy, FolderReply, Invite, InviteRequest, InviteStatus, Invites, MemberChange, MemberName, Members,
    NicknameRequest, PolicyRequest, RemoveRequest, Role, RoleRequest,
};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::{Api, At, Body, FolderParam};
use serde::Deserialize;
use utoipa::IntoParams;

/// An invite code is good for a year at most.
pub(super) const EXPIRES_S_MAX: u64 = 366 * 24 * 3600;

/// Who belongs, by seniority.
#[utoipa::path(
    get,
    path = "/folders/{folder}/members",
    tag = "members",
    params(FolderParam),
    responses((status = 200, body = Members), (status = 404, body = ErrorBody))
)]
pub(super) async fn members(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Members>, ApiError> {
    api.service.members(at.folder).await.map(Json)
}

/// A member in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MemberParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
    /// A member's name, or the beginning of their key.
    who: String,
}

/// Send a member away: they keep what they have, and get nothing that is written from then on.
#[utoipa::path(
    post,
    path = "/folders/{folder}/members/{who}/remove",
    tag = "members",
    params(MemberParam),
    request_body = RemoveRequest,
    responses((status = 200, body = MemberChange), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn remove(
    State(api): State<Api>,
    At(at): At<MemberParam>,
    Body(request): Body<RemoveRequest>,
) -> Result<Json<MemberChange>, ApiError> {
    api.service.member_remove(at.folder, at.who, request).await.map(Json)
}

/// Change what a member may do.
#[utoipa::path(
    post,
    path = "/folders/{folder}/members/{who}/role",
    tag = "members",
    params(MemberParam),
    request_body = RoleRequest,
    responses((status = 200, body = MemberChange), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn role(
    State(api): State<Api>,
    At(at): At<MemberParam>,
    Body(request): Body<RoleRequest>,
) -> Result<Json<MemberChange>, ApiError> {
    api.service.member_role(at.folder, at.who, request).await.map(Json)
}

/// Call a member something else on this device. Nobody else is told, no seeder and no other device.
#[utoipa::path(
    post,
    path = "/folders/{folder}/members/{who}/nickname",
    tag = "members",
    params(MemberParam),
    request_body = NicknameRequest,
    responses((status = 200, body = MemberName), (status = 404, body = ErrorBody))
)]
pub(super) async fn nickname(
    State(api): State<Api>,
    At(at): At<MemberParam>,
    Body(request): Body<NicknameRequest>,
) -> Result<Json<MemberName>, ApiError> {
    api.service.member_nickname(at.folder, at.who, request).await.map(Json)
}

/// What holds for the folder as a whole.
#[utoipa::path(
    get,
    path = "/folders/{folder}/policy",
    tag = "members",
    params(FolderParam),
    responses((status = 200, body = FolderPolicy), (status = 404, body = ErrorBody))
)]
pub(super) async fn policy(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<FolderPolicy>, ApiError> {
    api.service.policy(at.folder).await.map(Json)
}

/// Change what holds for the folder as a whole. Owners may, and admins where there is no owner.
#[utoipa::path(
    put,
    path = "/folders/{folder}/policy",
    tag = "members",
    params(FolderParam),
    request_body = PolicyRequest,
    responses((status = 200, body = FolderPolicy), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn policy_set(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<PolicyRequest>,
) -> Result<Json<FolderPolicy>, ApiError> {
    api.service.policy_set(at.folder, request).await.map(Json)
}

/// Give the folder new keys: what is written from now on is sealed under them, and all names once more.
#[utoipa::path(
    post,
    path = "/folders/{folder}/rekey",
    tag = "members",
    params(FolderParam),
    responses((status = 200, body = FolderReply), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn rekey(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<FolderReply>, ApiError> {
    api.service.rekey(at.folder).await.map(Json)
}

/// Seal the contents that are on this device under the newest keys. It takes as long as reading them, goes on over restarts, and
/// backups take all of it once more; the folder's `resealing` in a status says what is left.
#[utoipa::path(
    post,
    path = "/folders/{folder}/rekey/content",
    tag = "members",
    params(FolderParam),
    responses((status = 200, body = FolderReply), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn rekey_content(
    State(api): State<Api>,
    At(at): At<FolderParam>,
) -> Result<Json<FolderReply>, ApiError> {
    api.service.rekey_content(at.folder).await.map(Json)
}

/// Make an invite code.
#[utoipa::path(
    post,
    path = "/folders/{folder}/invites",
    tag = "members",
    params(FolderParam),
    request_body = InviteRequest,
    responses((status = 200, body = Invite), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn invite(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<InviteRequest>,
) -> Result<Json<Invite>, ApiError> {
    sensible(&request)?;
    api.service.invite(at.folder, request).await.map(Json)
}

/// Invites by which somebody may still join.
#[utoipa::path(
    get,
    path = "/folders/{folder}/invites",
    tag = "members",
    params(FolderParam),
    responses((status = 200, body = Invites), (status = 404, body = ErrorBody))
)]
pub(super) async fn invites(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Invites>, ApiError> {
    api.service.invites(at.folder).await.map(Json)
}

/// An invite in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct InviteParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
    /// The beginning of the invite's id.
    invite: String,
}

/// Close an invite: nobody joins by it any more, and it opens nothing that is written from then on.
#[utoipa::path(
    delete,
    path = "/folders/{folder}/invites/{invite}",
    tag = "members",
    params(InviteParam),
    responses((status = 200, body = InviteStatus), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn invite_cancel(
    State(api): State<Api>,
    At(at): At<InviteParam>,
) -> Result<Json<InviteStatus>, ApiError> {
    api.service.invite_cancel(at.folder, at.invite).await.map(Json)
}

fn sensible(request: &InviteRequest) -> Result<(), ApiError> {
    let wrong = |message: &str, hint: &str| Err(ApiError::new(ErrorCode::BadRequest, message).hint(hint));
    if request.role == Role::Owner {
        return wrong("nobody is invited as owner", "invite as admin");
    }
    if request.expires_s == 0 || request.expires_s > EXPIRES_S_MAX {
        return wrong("an invite code is good for one second to a year", "for example --expires 7d");
    }
    if request.uses == 0 {
        return wrong("an invite code must be good for at least one person", "leave --uses out");
    }
    if request.to.is_some() && request.uses != 1 {
        return wrong("a code made for one CoBox key is good for one person", "leave --uses out");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_must_make_sense() {
        let good = InviteRequest { to: Some("c1".into()), role: Role::Editor, expires_s: 60, uses: 1, approve: false };
        assert!(sensible(&good).is_ok());
        for bad in [
            InviteRequest { role: Role::Owner, ..good.clone() },
            InviteRequest { expires_s: 0, ..good.clone() },
            InviteRequest { expires_s: u64::MAX, ..good.clone() },
            InviteRequest { uses: 0, ..good.clone() },
            InviteRequest { uses: 2, ..good.clone() },
        ] {
            assert!(sensible(&bad).is_err(), "{bad:?}");
        }
        assert!(sensible(&InviteRequest { to: None, uses: 20, ..good }).is_ok());
    }
}
