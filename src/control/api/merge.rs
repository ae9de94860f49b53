//! JSON merge patches, RFC 7396.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Code, Error};

/// The hint for an invalid field.
pub(super) const FIELDS: &str = "/api/v1/openapi.json describes the fields";

/// Applies a patch to a value; `null` resets a field to its default.
///
/// # Errors
/// `invalid` if the patch is not an object or the result is not a valid value.
pub(super) fn patched<T: Serialize + DeserializeOwned>(
    before: &T,
    patch: Value,
) -> Result<T, Error> {
    if !patch.is_object() {
        return Err(Error::new(Code::Invalid, "the body is not an object", FIELDS));
    }
    let mut value =
        serde_json::to_value(before).map_err(|e| Error::internal("reading the stream", &e))?;
    merge(&mut value, patch);
    serde_json::from_value(value).map_err(|e| Error::new(Code::Invalid, e.to_string(), FIELDS))
}

/// Merges a patch into a document: objects are merged, `null` removes, everything else replaces. A
/// patch to another `type` replaces the object: fields of the old type mean nothing in the new one.
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let is_other_type = |old: &Value| {
        patch.get("type").is_some_and(|new| old.get("type").is_some_and(|t| t != new))
    };
    if !target.is_object() || is_other_type(target) {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::process::denoise::Settings;

    #[test]
    fn merge_follows_the_examples_of_rfc_7396() {
        let check = |mut target: serde_json::Value, patch, expect| {
            merge(&mut target, patch);
            assert_eq!(target, expect);
        };
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
        check(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
        check(
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        );
        check(json!({"a": [1]}), json!({"a": [2]}), json!({"a": [2]}));
        check(json!({"a": "foo"}), json!("bar"), json!("bar"));
        check(json!({}), json!({"a": {"bb": {"c": null}}}), json!({"a": {"bb": {}}}));
    }

    #[test]
    fn another_type_begins_anew() {
        let file = json!({"source": {"type": "file", "path": "/a"}, "name": "x"});
        let check = |patch, expect| {
            let mut target = file.clone();
            merge(&mut target, patch);
            assert_eq!(target["source"], expect);
            assert_eq!(target["name"], "x");
        };
        check(json!({"source": {"type": "test"}}), json!({"type": "test"}));
        let same = json!({"type": "file", "path": "/b"});
        check(json!({"source": same.clone()}), same.clone());
        check(json!({"source": {"path": "/b"}}), same);
    }

    #[test]
    fn null_is_the_default_and_what_is_no_value_is_refused() {
        let before =
            Settings { enabled: false, mix: 0.5, max_attenuation_db: 6.0, ..Settings::default() };
        let check = |patch, expect: Result<Settings, &str>| {
            let found = patched(&before, patch).map_err(|e| e.problem().message);
            match expect {
                Ok(expect) => assert_eq!(found.expect("is taken"), expect),
                Err(part) => assert!(found.clone().is_err_and(|m| m.contains(part)), "{found:?}"),
            }
        };
        check(json!({}), Ok(before.clone()));
        let default = Settings::default().mix;
        check(json!({"mix": null}), Ok(Settings { mix: default, ..before.clone() }));
        check(json!({"mix": "much"}), Err("invalid type"));
        check(json!({"mxi": 0.5}), Err("unknown field `mxi`"));
        check(json!([]), Err("not an object"));
    }
}
