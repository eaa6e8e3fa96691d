//! Folders: make, join, list, pause, leave, check, rehearse a restore.

use axum::Json;
use axum::extract::State;

use super::dto::{
    CheckReport, CreateRequest, DrillReport, FolderReply, FolderRow, Folders, JoinReply, JoinRequest, LeaveReply,
    LeaveRequest,
};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::{Api, At, Body, FolderParam};

/// Characters of an id that are enough to name a folder.
const ID_PREFIX_MIN: usize = 6;

/// The folder a person means: by name, by path, or by at least six characters of its id, in this order.
pub fn find_folder<'f>(folders: &'f [FolderRow], typed: &str) -> Result<&'f FolderRow, ApiError> {
    let exact = folders.iter().find(|f| f.name == typed).or_else(|| {
        let path = typed.strip_suffix('/').filter(|p| !p.is_empty()).unwrap_or(typed);
        folders.iter().find(|f| f.path == path)
    });
    if let Some(folder) = exact {
        return Ok(folder);
    }
    let id = typed.to_ascii_lowercase();
    let is_id = id.len() >= ID_PREFIX_MIN && id.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found = folders.iter().filter(|f| is_id && f.id.starts_with(&id));
    match (found.next(), found.next()) {
        (Some(folder), None) => Ok(folder),
        (Some(_), Some(_)) => {
            Err(ApiError::new(ErrorCode::FolderAmbiguous, format!("more than one folder's id begins with \"{typed}\""))
                .hint("give more of the id, or the folder's name"))
        }
        (None, _) => Err(ApiError::new(ErrorCode::FolderNotFound, format!("there is no folder \"{typed}\" here"))
            .hint("`cobox folders` lists them; a path that is not absolute must contain a /, like ./docs")),
    }
}

/// All folders, by name.
#[utoipa::path(get, path = "/folders", tag = "folders", responses((status = 200, body = Folders)))]
pub(super) async fn folders(State(api): State<Api>) -> Result<Json<Folders>, ApiError> {
    api.service.folders().await.map(Json)
}

/// Make a directory a folder.
#[utoipa::path(
    post,
    path = "/folders",
    tag = "folders",
    request_body = CreateRequest,
    responses((status = 200, body = FolderReply), (status = 409, body = ErrorBody))
)]
pub(super) async fn create(
    State(api): State<Api>,
    Body(request): Body<CreateRequest>,
) -> Result<Json<FolderReply>, ApiError> {
    absolute(&request.path)?;
    api.service.create(request).await.map(Json)
}

/// Join with an invite code. If the answer is `waiting`, an owner or admin has to approve; the service goes on asking.
#[utoipa::path(
    post,
    path = "/join",
    tag = "folders",
    request_body = JoinRequest,
    responses((status = 200, body = JoinReply), (status = 409, body = ErrorBody), (status = 504, body = ErrorBody))
)]
pub(super) async fn join(
    State(api): State<Api>,
    Body(request): Body<JoinRequest>,
) -> Result<Json<JoinReply>, ApiError> {
    request.path.as_deref().map_or(Ok(()), absolute)?;
    api.service.join(request).await.map(Json)
}

/// Stop taking part.
#[utoipa::path(
    post,
    path = "/folders/{folder}/leave",
    tag = "folders",
    params(FolderParam),
    request_body = LeaveRequest,
    responses((status = 200, body = LeaveReply), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn leave(
    State(api): State<Api>,
    At(at): At<FolderParam>,
    Body(request): Body<LeaveRequest>,
) -> Result<Json<LeaveReply>, ApiError> {
    api.service.leave(at.folder, request).await.map(Json)
}

/// Stop sending and receiving.
#[utoipa::path(
    post,
    path = "/folders/{folder}/pause",
    tag = "folders",
    params(FolderParam),
    responses((status = 200, body = FolderReply), (status = 404, body = ErrorBody))
)]
pub(super) async fn pause(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<FolderReply>, ApiError> {
    api.service.pause(at.folder).await.map(Json)
}

/// Send and receive again.
#[utoipa::path(
    post,
    path = "/folders/{folder}/resume",
    tag = "folders",
    params(FolderParam),
    responses((status = 200, body = FolderReply), (status = 404, body = ErrorBody))
)]
pub(super) async fn resume(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<FolderReply>, ApiError> {
    api.service.resume(at.folder).await.map(Json)
}

/// Re-read everything against its hashes.
#[utoipa::path(
    post,
    path = "/folders/{folder}/check",
    tag = "folders",
    params(FolderParam),
    responses((status = 200, body = CheckReport), (status = 404, body = ErrorBody))
)]
pub(super) async fn check(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<CheckReport>, ApiError> {
    api.service.check(at.folder).await.map(Json)
}

/// Rehearse a restore: from each seeder alone, a few files, drawn by chance, which are compared and thrown away.
#[utoipa::path(
    post,
    path = "/folders/{folder}/drill",
    tag = "folders",
    params(FolderParam),
    responses((status = 200, body = DrillReport), (status = 404, body = ErrorBody), (status = 504, body = ErrorBody))
)]
pub(super) async fn drill(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<DrillReport>, ApiError> {
    api.service.drill(at.folder).await.map(Json)
}

/// Open the folder's directory on this computer's own screen.
#[utoipa::path(
    post,
    path = "/folders/{folder}/show",
    tag = "folders",
    params(FolderParam),
    responses((status = 200, body = FolderReply), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody))
)]
pub(super) async fn show(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<FolderReply>, ApiError> {
    api.service.show(at.folder).await.map(Json)
}

/// A path of a request is never relative to wherever the service happened to start.
pub(super) fn absolute(path: &str) -> Result<(), ApiError> {
    if path.contains('\0') {
        return Err(ApiError::new(ErrorCode::BadRequest, "a path can not contain a zero byte"));
    }
    if std::path::Path::new(path).is_absolute() {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::BadRequest, format!("the path \"{path}\" is not absolute"))
        .hint("give the whole path, from / on"))
}

#[cfg(test)]
mod tests {
    use super::super::dto::FolderState;
    use super::*;

    fn row(id: &str, name: &str, path: &str) -> FolderRow {
        FolderRow {
            id: id.into(),
            name: name.into(),
            path: path.into(),
            state: FolderState::InStep,
            files: 0,
            bytes: 0,
        }
    }

    #[test]
    fn a_folder_is_found_by_name_path_or_six_characters_of_its_id() {
        let rows = [
            row("abcdef01", "docs", "/home/ana/docs"),
            row("abcdef99", "photos", "/home/ana/photos"),
            row("77777700", "abcdef", "/x"),
        ];
        let id = |typed: &str| find_folder(&rows, typed).map(|f| f.id.clone()).map_err(|e| e.code);
        assert_eq!(id("docs"), Ok("abcdef01".into()));
        assert_eq!(id("/home/ana/photos/"), Ok("abcdef99".into()));
        assert_eq!(id("ABCDEF9"), Ok("abcdef99".into()));
        assert_eq!(id("abcdef"), Ok("77777700".into()), "a name wins over an id");
        assert_eq!(id("abcdef0"), Ok("abcdef01".into()));
        assert_eq!(id("777777"), Ok("77777700".into()));
        assert_eq!(id("77777"), Err(ErrorCode::FolderNotFound), "five are too few");
        assert_eq!(id(""), Err(ErrorCode::FolderNotFound));
        assert_eq!(id("/"), Err(ErrorCode::FolderNotFound));
        let twins = [row("abcdef01", "a", "/a"), row("abcdef02", "b", "/b")];
        assert_eq!(find_folder(&twins, "abcdef0").unwrap_err().code, ErrorCode::FolderAmbiguous);
    }

    #[test]
    fn w10_a_relative_path_or_one_with_a_zero_byte_adds_no_folder() {
        assert!(absolute("/home/ana/docs").is_ok());
        for path in ["docs", "../docs", "", "./x", "/a\0b", "~"] {
            assert_eq!(absolute(path).unwrap_err().code, ErrorCode::BadRequest, "{path:?}");
        }
    }
}
