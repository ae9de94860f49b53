//! Addresses that an admin names.

/// Longest address of a source or target, in bytes.
const URL_MAX_BYTES: usize = 2048;

/// What is wrong with an address that must have one of these schemes, in a text that does not repeat
/// it: in `user:password@host` the scheme is the user. `None` if it can be used.
pub fn url_problem(text: &str, schemes: &[&str]) -> Option<String> {
    if text.len() > URL_MAX_BYTES {
        return Some(format!("at most {URL_MAX_BYTES} bytes"));
    }
    let url = match ::url::Url::parse(text) {
        Ok(url) => url,
        Err(error) => return Some(format!("not a URL: {error}")),
    };
    if !schemes.contains(&url.scheme()) {
        let known = schemes.iter().map(|s| format!("{s}://")).collect::<Vec<_>>().join(" or ");
        return Some(format!("it has to begin with {known}"));
    }
    let named = url.host_str().is_some_and(|host| !host.is_empty());
    (!named).then(|| "it names no host".to_owned())
}

/// An address for display: scheme, host and port, without anything that could be a key.
pub fn url_without_secrets(text: &str) -> String {
    let Ok(url) = ::url::Url::parse(text) else { return "(not a URL)".into() };
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}
