//! Joins that wait: at the folder that is asked, and at the device that asks.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::dto::{ApproveRequest, JoinStatus, Joining, JoiningStatus, Joins, JoinsRefused};
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::{Api, At, Body, FolderParam};

/// The fewest characters of a key that name somebody, or a device.
pub(crate) const KEY_CHARS_MIN: usize = 6;

/// Which of those who ask is meant by a name or the beginning of a key: its place in the list. A name wins over a key.
///
/// Errors: nobody, or several.
pub fn find_join(joins: &[JoinStatus], typed: &str) -> Result<usize, ApiError> {
    let places = |is_meant: &dyn Fn(&JoinStatus) -> bool| -> Vec<usize> {
        joins.iter().enumerate().filter(|(_, join)| is_meant(join)).map(|(at, _)| at).collect()
    };
    let mut found = places(&|join| join.name.as_deref() == Some(typed));
    if found.is_empty() && typed.len() >= KEY_CHARS_MIN {
        let prefix = typed.to_ascii_lowercase();
        found = places(&|join| join.key.starts_with(&prefix));
    }
    match found[..] {
        [at] => Ok(at),
        [] => Err(ApiError::new(ErrorCode::JoinNotFound, format!("nobody called \"{typed}\" asks to be let in"))
            .hint("`cobox joins list` names who asks, with their keys")),
        _ => {
            let text = format!("{} who call themselves \"{typed}\" ask to be let in", found.len());
            Err(ApiError::new(ErrorCode::MemberAmbiguous, text).hint(
                "compare the six words, and give the beginning of the key instead: `cobox joins list` shows both",
            ))
        }
    }
}

/// Who asks to be let in.
#[utoipa::path(
    get,
    path = "/folders/{folder}/joins",
    tag = "joins",
    params(FolderParam),
    responses((status = 200, body = Joins), (status = 404, body = ErrorBody))
)]
pub(super) async fn joins(State(api): State<Api>, At(at): At<FolderParam>) -> Result<Json<Joins>, ApiError> {
    api.service.joins(at.folder).await.map(Json)
}

/// Somebody who asks, in an address.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct JoinParam {
    /// A folder's name, id prefix or absolute path.
    folder: String,
    /// What they call themselves, or the beginning of their key.
    who: String,
}

/// Let somebody in who asks. Compare the six words with them first.
#[utoipa::path(
    post,
    path = "/folders/{folder}/joins/{who}/approve",
    tag = "joins",
    params(JoinParam),
    request_body = ApproveRequest,
    responses((status = 200, body = JoinStatus), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn join_approve(
    State(api): State<Api>,
    At(at): At<JoinParam>,
    Body(request): Body<ApproveRequest>,
) -> Result<Json<JoinStatus>, ApiError> {
    api.service.join_approve(at.folder, at.who, request).await.map(Json)
}

/// Refuse somebody who asks. The invite is closed with it: whoever has its code could ask again with other keys. So all who ask by it
/// are refused.
#[utoipa::path(
    post,
    path = "/folders/{folder}/joins/{who}/refuse",
    tag = "joins",
    params(JoinParam),
    responses((status = 200, body = JoinsRefused), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(super) async fn join_refuse(State(api): State<Api>, At(at): At<JoinParam>) -> Result<Json<JoinsRefused>, ApiError> {
    api.service.join_refuse(at.folder, at.who).await.map(Json)
}

/// Folders this device asks to be let into.
#[utoipa::path(get, path = "/joins", tag = "joins", responses((status = 200, body = Joining)))]
pub(super) async fn joining(State(api): State<Api>) -> Result<Json<Joining>, ApiError> {
    api.service.joining().await.map(Json)
}

/// Stop asking, or put out of sight what was refused.
#[utoipa::path(
    delete,
    path = "/joins/{folder}",
    tag = "joins",
    params(FolderParam),
    responses((status = 200, body = JoiningStatus), (status = 404, body = ErrorBody))
)]
pub(super) async fn join_withdraw(
    State(api): State<Api>,
    At(at): At<FolderParam>,
) -> Result<Json<JoiningStatus>, ApiError> {
    api.service.join_withdraw(at.folder).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::super::dto::{Role, Time};
    use super::*;

    fn join(key: &str, name: Option<&str>) -> JoinStatus {
        JoinStatus {
            key: key.into(),
            name: name.map(Into::into),
            role: Role::Editor,
            words: String::new(),
            invite: String::new(),
            invited_by: String::new(),
            expires_at: Time::from_ms(0),
        }
    }

    #[test]
    fn who_is_meant_is_one_person_or_a_question() {
        let joins = [
            join("aabbccdd", Some("Ben")),
            join("aabbcc99", Some("aabbccdd")),
            join("77777700", Some("Eva")),
            join("88888800", Some("Eva")),
            join("99999900", None),
        ];
        let find = |typed: &str| find_join(&joins, typed).map_err(|why| why.code);
        assert_eq!(find("Ben"), Ok(0));
        assert_eq!(find("aabbccdd"), Ok(1), "a name wins over a key");
        assert_eq!(find("AABBCC9"), Ok(1));
        assert_eq!(find("999999"), Ok(4));
        assert_eq!(find("Eva"), Err(ErrorCode::MemberAmbiguous));
        assert_eq!(find("aabbcc"), Err(ErrorCode::MemberAmbiguous));
        assert_eq!(find("99999"), Err(ErrorCode::JoinNotFound), "five are too few");
        assert_eq!(find("Carla"), Err(ErrorCode::JoinNotFound));
    }
}
