use super::*;

/// What caches go by: lifetimes, tags, and files that do not depend on the player.
#[tokio::test(flavor = "multi_thread")]
async fn caches_get_what_they_need() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND}")).await;
    let client = reqwest::Client::new();
    let by_path = |file: &str| client.get(format!("{}/let%20me%20in/{file}", site.url));
    let by_header =
        |file: &str| client.get(format!("{}/{file}", site.url)).bearer_auth("let me in");
    let sent = async |request: reqwest::RequestBuilder| request.send().await.expect("an answer");
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };

    let master = sent(by_path("index.m3u8")).await;
    assert_eq!(header(&master, "cache-control"), "public, max-age=1");
    assert!(!master.text().await.expect("text").contains("let"), "no token in a shared file");
    let list = sent(by_path("video.m3u8?token=another")).await.text().await.expect("text");
    assert!(!list.contains("another"), "the token of the path goes for all: {list}");
    let (sequence, part) = list
        .lines()
        .find_map(|l| l.strip_prefix("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video.")?.split_once('.'))
        .expect("a part that comes next");
    let part = part.split('.').next().expect("a number");
    let awaited = sent(by_path(&format!("video.m3u8?_HLS_msn={sequence}&_HLS_part={part}"))).await;
    assert_eq!(header(&awaited, "cache-control"), "public, max-age=12");
    assert_eq!(header(&awaited, "access-control-allow-origin"), "*");

    let part = format!("video.{sequence}.{part}.m4s");
    let media = sent(by_path(&part)).await;
    assert_eq!(header(&media, "cache-control"), "public, max-age=3600, immutable");
    let tag = header(&media, "etag");
    let length = media.content_length();
    assert!(media.bytes().await.is_ok_and(|b| Some(b.len() as u64) == length && !b.is_empty()));
    let known = sent(by_path(&part).header("if-none-match", &tag)).await;
    assert_eq!((known.status().as_u16(), header(&known, "etag")), (304, tag.clone()));
    assert!(known.bytes().await.expect("a body").is_empty());
    let other = sent(by_path(&part).header("if-none-match", "\"video.1.1\"")).await;
    assert_eq!(other.status(), 200);

    // A shared cache must not give out what a header opened.
    let own = sent(by_header(&part)).await;
    assert_eq!(header(&own, "cache-control"), "private, max-age=3600, immutable");
    assert_eq!(header(&sent(by_header("index.m3u8")).await, "cache-control"), "private, max-age=1");

    let admitted = sent(by_path("admission")).await;
    assert_eq!(
        (admitted.status(), header(&admitted, "cache-control").as_str()),
        (reqwest::StatusCode::NO_CONTENT, "public, max-age=5")
    );
    for (url, expect) in [
        (format!("{}/wrong/admission", site.url), 401),
        (format!("{}/admission", site.url), 401),
        (format!("{}/wrong/{part}", site.url), 401),
        (format!("{}/let%20me%20in/admission", site.url.replace("studio-1", "nobody")), 403),
    ] {
        let refused = sent(client.get(&url)).await;
        assert_eq!(
            (refused.status().as_u16(), header(&refused, "cache-control")),
            (expect, "no-store".into()),
            "{url}"
        );
    }
}
