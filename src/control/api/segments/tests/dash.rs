use super::*;

/// The same by DASH, with `dash.js` or `shaka`.
async fn play_dash(site: &Site, player: &str, options: &[&str]) -> Option<serde_json::Value> {
    let package = if player == "shaka" { "shaka-player" } else { "dashjs" };
    let entry = site.entry("manifest.mpd").replace("/hls/", "/dash/");
    report_of(package, &["dash.mjs", &entry, "--player", player], options).await
}

/// The same segments by DASH: ffmpeg reads them without gap or overlap.
#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_reads_dash_without_a_gap() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND}")).await;
    let entry = site.entry("manifest.mpd").replace("/hls/", "/dash/");
    let refused = reqwest::get(entry.replace("let", "keep")).await.expect("an answer");
    assert_eq!(refused.status(), 401);
    let manifest = reqwest::get(&entry).await.expect("an answer");
    assert_eq!(manifest.headers()["content-type"], "application/dash+xml");
    assert_eq!(manifest.headers()["cache-control"], "public, max-age=1");
    let packets = packets(&entry).await;
    let mut video: Vec<f64> = packets[&'v'].iter().map(|p| p.0).collect();
    video.sort_by(f64::total_cmp);
    let steps: Vec<f64> = video.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(video.len() > 400, "{} pictures", video.len());
    assert!(steps.iter().all(|s| (0.025..0.045).contains(s)), "cadence: {steps:?}");
    let audio: Vec<f64> = packets[&'a'].iter().map(|p| p.0).collect();
    let worst = audio.windows(2).map(|w| (w[1] - w[0] - 1024.0 / 48_000.0).abs());
    assert!(worst.fold(0.0, f64::max) < 0.002, "every packet of sound follows the one before");
    assert!((video[0] - audio[0]).abs() < 2.5, "{} {}", video[0], audio[0]);
}

/// dash.js and Shaka Player in Chromium play, and change the language.
#[tokio::test(flavor = "multi_thread")]
async fn players_of_dash_play_and_change_the_language_of_the_sound() {
    let site = site(Settings::default(), &format!("{PICTURES} {SOUND} {DUB}")).await;
    // A player reads which languages there are when it starts.
    while !site.get("manifest.mpd").await.text().await.is_ok_and(|mpd| mpd.contains("\"es\"")) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for player in ["dash.js", "shaka"] {
        let options = ["--seconds", "20", "--sound", "es"];
        let Some(report) = play_dash(&site, player, &options).await else { continue };
        eprintln!("{player}: {report}");
        let number = |name: &str| report[name].as_f64().unwrap_or(0.0);
        assert_eq!(
            (&report["size"], &report["has_content"]),
            (&"320x180".into(), &true.into()),
            "{report}"
        );
        assert!(number("frames") > 200.0 && number("audio_bytes") > 1000.0, "{report}");
        assert!(number("to_s") - number("from_s") > 8.0, "it plays on: {report}");
        assert!((1.0..20.0).contains(&number("latency_s")), "{report}");
        assert_eq!(report["sound"], "es", "{report}");
        assert!(report["fetched"]["audio-es"].as_u64().is_some_and(|n| n > 2), "{report}");
        assert_eq!(report["errors"], serde_json::json!([]), "{report}");
    }
}
