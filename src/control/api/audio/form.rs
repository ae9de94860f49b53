//! The request form.

use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;
use bytes::Bytes;

use super::output::Format;
use super::{Code, Error};
use crate::control::api::extract::broken_body;
use crate::media::Language;
use crate::speech::stt::{ENGINES, Wanted};

/// Maximum file size, in bytes. The file is held in memory during transcription.
pub(super) const FILE_BYTES_MAX: usize = 128 << 20;

/// Maximum size of a text field, in bytes.
const FIELD_BYTES_MAX: usize = 4 << 10;

/// Maximum number of fields.
const FIELDS_MAX: usize = 32;

/// The form, for the OpenAPI document.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "it is read field by field; this describes it")]
pub(super) struct Upload {
    /// Audio or video, up to 128 MiB and four hours.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// An engine of the appliance (`whisper`, `basic`, `openai`), or `whisper/<model>`; any other
    /// name selects the best engine.
    model: Option<String>,
    /// Tag of the spoken language. If omitted, it is detected if the engine can.
    language: Option<String>,
    /// Names and words to expect.
    prompt: Option<String>,
    /// `json`, `text`, `srt`, `vtt` or `verbose_json`.
    response_format: Option<String>,
    /// Sends the text during transcription, as server-sent events.
    stream: Option<bool>,
}

/// The parsed form.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) file: Bytes,
    pub(super) wanted: Wanted,
    pub(super) prompt: Option<String>,
    pub(super) format: Format,
    pub(super) stream: bool,
}

fn unreadable(error: &MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Error::new(Code::BodyTooLarge, message, "send sound alone, or parts of it");
    }
    broken_body(error, error.status(), &error.body_text())
}

fn invalid(field: &str, what: impl std::fmt::Display) -> Error {
    let hint = "/api/v1/openapi.json describes the form";
    Error::new(Code::Invalid, format!("`{field}`: {what}"), hint)
}

async fn text(field: Field<'_>, name: &str) -> Result<String, Error> {
    let text = field.text().await.map_err(|e| unreadable(&e))?;
    if text.len() > FIELD_BYTES_MAX {
        return Err(invalid(name, format!("longer than {FIELD_BYTES_MAX} bytes")));
    }
    Ok(text.trim().to_owned())
}

impl Form {
    /// Reads the form. Fields without meaning here (`temperature`, …) are ignored.
    pub(super) async fn read(mut multipart: Multipart) -> Result<Self, Error> {
        let mut form = Self::default();
        let mut has_file = false;
        for _ in 0..FIELDS_MAX {
            let Some(field) = multipart.next_field().await.map_err(|e| unreadable(&e))? else {
                break;
            };
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "file" => {
                    form.file = field.bytes().await.map_err(|e| unreadable(&e))?;
                    has_file = true;
                }
                "model" => form.choose(&text(field, &name).await?),
                "language" => form.wanted.language = language(&text(field, &name).await?)?,
                "prompt" => form.prompt = Some(text(field, &name).await?).filter(|p| !p.is_empty()),
                "response_format" => {
                    let word = text(field, &name).await?;
                    form.format = Format::parse(&word).ok_or_else(|| {
                        invalid(
                            &name,
                            format!("`{word}` is not json, text, srt, vtt, verbose_json"),
                        )
                    })?;
                }
                "stream" => form.stream = matches!(&*text(field, &name).await?, "true" | "1"),
                _ => drop(text(field, &name).await?),
            }
        }
        if !has_file || form.file.is_empty() {
            return Err(invalid("file", "it is missing or empty"));
        }
        Ok(form)
    }

    fn choose(&mut self, model: &str) {
        let (engine, model) = model.split_once('/').map_or((model, None), |(e, m)| (e, Some(m)));
        if ENGINES.contains(&engine) {
            self.wanted.engines = vec![engine.to_owned()];
            self.wanted.model = model.map(str::to_owned);
        }
    }
}

fn language(text: &str) -> Result<Option<Language>, Error> {
    if text.is_empty() || text == "auto" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|e| invalid("language", e))
}
