//! `/api/v1/tokens`: tokens of the API, each with a role.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::extract::{Json, Params};
use super::{ApiState, Error, Failures};
use crate::control::store::StoredApiToken;
use crate::control::token_service::TokenWish;

/// A token without its secret.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct TokenView {
    /// Identifies it.
    id: String,
    /// What it is for.
    name: String,
    /// `viewer`, `operator` or `admin`; a token with another role is of a newer program and refused.
    role: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it expires; `null` if it does not.
    expires_at: Option<DateTime<Utc>>,
}

/// A new token.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct NewTokenView {
    #[serde(flatten)]
    view: TokenView,
    /// The token, for `Authorization: Bearer` and the page. It is not shown again.
    token: String,
}

/// All tokens.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct TokenList {
    /// The oldest first.
    tokens: Vec<TokenView>,
}

fn view(stored: StoredApiToken) -> TokenView {
    let StoredApiToken { id, name, role, created_at, expires_at, .. } = stored;
    TokenView { id, name, role, created_at, expires_at }
}

/// Lists the tokens of the API. The admin token is not among them.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "system",
    responses((status = 200, body = TokenList), Failures))]
pub(super) async fn list_tokens(
    State(state): State<ApiState>,
) -> Result<axum::Json<TokenList>, Error> {
    let tokens = state.token_service.list().await?;
    Ok(axum::Json(TokenList { tokens: tokens.into_iter().map(view).collect() }))
}

/// Makes a token of the API. Its secret is in this answer only.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "system", request_body = TokenWish,
    responses((status = 201, body = NewTokenView), Failures))]
pub(super) async fn create_token(
    State(state): State<ApiState>,
    Json(wish): Json<TokenWish>,
) -> Result<impl IntoResponse, Error> {
    let (stored, token) = state.token_service.create(wish).await?;
    tracing::info!(id = stored.id, role = stored.role, "a token of the API was made");
    let body = axum::Json(NewTokenView { view: view(stored), token });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], body))
}

/// Deletes a token of the API. It is refused at once, and the sessions that it opened end.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "system", params(("id" = String, Path)),
    responses((status = 204), Failures))]
pub(super) async fn delete_token(
    State(state): State<ApiState>,
    Params(id): Params<String>,
) -> Result<StatusCode, Error> {
    state.token_service.delete(&id).await?;
    tracing::info!(id, "a token of the API was deleted");
    Ok(StatusCode::NO_CONTENT)
}
