//! A real nginx between players and the appliance, with the configuration of `docs/nginx.conf`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::{Child, Command, Stdio};

use reqwest::Client as Http;
use serde_json::json;
use tempfile::TempDir;

use crate::support::appliance::{Appliance, free_tcp};
use crate::support::client::output;
use crate::support::needs::skip;
use crate::support::{eventually, root, s};

/// Players of HLS that watch at the same time.
const PLAYERS_COUNT: usize = 200;

/// Parts that each of them fetches, one after the other.
const PARTS_COUNT: usize = 8;

/// A running nginx; it ends with the test.
struct Nginx {
    process: Child,
    folder: TempDir,
    /// `http://127.0.0.1:port`.
    url: String,
}

impl Nginx {
    /// nginx in front of an appliance, as documented. `None`, noted, if it is not installed.
    async fn start(appliance: &Appliance) -> Option<Self> {
        let version = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            skip("nginx, from `make setup`");
            return None;
        }
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let (path, port) = (folder.path().display().to_string(), free_tcp());
        let site = fs::read_to_string(root().join("docs/nginx.conf")).expect("it is there");
        let site =
            replaced(&site, "127.0.0.1:8080", &format!("127.0.0.1:{}", appliance.ports.http));
        let site = replaced(&site, "listen 80;", &format!("listen 127.0.0.1:{port};"));
        let site = replaced(&site, "/dev/shm/auralink-cache", &format!("{path}/cache"));
        // As root it runs its workers as root too, which may read the temporary folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};\n"))
            .concat();
        let whole = format!(
            "{user}\ndaemon off;\nworker_processes 2;\npid {path}/pid;\nerror_log {path}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\nlog_format cached '$uri $args $status $upstream_cache_status';\n\
             access_log {path}/access.log cached;\nlog_subrequest on;\nkeepalive_requests 10000;\n\
             {temporary}{site}}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), whole).expect("written");
        let process = Command::new("nginx")
            .args(["-e", &format!("{path}/error.log"), "-c", &format!("{path}/nginx.conf")])
            .stdin(Stdio::null())
            .spawn()
            .expect("it was started before");
        let nginx = Self { process, folder, url: format!("http://127.0.0.1:{port}") };
        eventually("nginx listens", s(20), || async {
            let answer = reqwest::get(&nginx.url).await;
            answer.map(|_| ()).map_err(|e| format!("{e}\n{}", nginx.errors()))
        })
        .await;
        Some(nginx)
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    /// How often each file was asked for and how often the appliance was, by `path?query`.
    fn requests(&self) -> BTreeMap<String, (usize, usize)> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).expect("a log");
        let mut requests = BTreeMap::new();
        for line in log.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [path, args, _, cached] = fields[..] else { panic!("not our format: {line}") };
            let (asked, fetched) = requests.entry(format!("{path}?{args}")).or_insert((0, 0));
            *asked += 1;
            *fetched += usize::from(!["HIT", "UPDATING", "-"].contains(&cached));
        }
        requests
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM reaches the workers too, which SIGKILL would leave behind.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").arg(&pid).status();
        let _ = self.process.wait();
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "docs/nginx.conf has one `{from}`");
    text.replace(from, to)
}

async fn fetch(http: &Http, url: &str) -> Vec<u8> {
    let answer = http.get(url).send().await.unwrap_or_else(|e| panic!("{url}: {e:?}"));
    assert_eq!(answer.status(), 200, "{url}");
    answer.bytes().await.expect("a body").to_vec()
}

/// The part that a playlist of video announces, as numbers of segment and part.
fn announced(playlist: &str) -> (u64, usize) {
    let hint = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video.";
    let numbers = playlist.lines().find_map(|line| line.strip_prefix(hint)?.strip_suffix(".m4s\""));
    let numbers = numbers.and_then(|n| n.split_once('.')).expect(playlist);
    (numbers.0.parse().expect("a number"), numbers.1.parse().expect("a number"))
}

/// A low-latency player: waits for each part with a blocking reload and fetches it. Returns the
/// parts by name.
async fn watch(http: Http, entry: String) -> HashMap<String, Vec<u8>> {
    let master = http.get(&entry).send().await.expect("an answer");
    let folder = master.url().join(".").expect("a folder").to_string();
    let mut playlist = fetch(&http, &format!("{folder}video.m3u8")).await;
    let mut parts = HashMap::new();
    while parts.len() < PARTS_COUNT {
        let (segment, part) = announced(&String::from_utf8_lossy(&playlist));
        let reload = format!("{folder}video.m3u8?_HLS_msn={segment}&_HLS_part={part}");
        playlist = fetch(&http, &reload).await;
        let listed = String::from_utf8_lossy(&playlist).into_owned();
        let name = format!("video.{segment}.{part}.m4s");
        // The part that was announced may have become the first one of the next segment.
        if listed.contains(&format!("URI=\"{name}\"")) && announced(&listed) != (segment, part) {
            parts.insert(name.clone(), fetch(&http, &format!("{folder}{name}")).await);
        }
    }
    parts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_players_cost_the_appliance_one_fetch_of_each_file() {
    // On a busy machine players are late; the appliance still has what they ask for.
    let appliance = Appliance::start_with("hls.segments = 30").await;
    let Some(nginx) = Nginx::start(&appliance).await else { return };
    let spec = json!({ "name": "studio", "source": { "type": "test" } });
    let stream = appliance.api.create(spec).await;
    stream.wait_state("live", s(30)).await;
    let entry = format!("{}/hls/studio/index.m3u8?token={}", nginx.url, stream.play_token());
    let http = Http::builder().timeout(s(60)).build().expect("a client");
    eventually("the stream has segments", s(40), || async {
        let answer = http.get(&entry).send().await.map_err(|e| format!("{e:?}"))?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;

    let seen = seen_by_all(&http, &entry).await;
    let requests = nginx.requests();
    one_fetch_of_each(&requests, seen.len());

    // The appliance has counted the same.
    let metrics = appliance.api.get("/metrics").await.expect("an answer").text;
    let route = "route=\"/hls/{stream}/{token}/{file}\"";
    let counted = metrics.lines().filter(|l| l.contains("_count{") && l.contains(route));
    let counted: f64 = counted.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    let fetched: usize = requests.values().map(|(_, fetched)| fetched).sum();
    assert!((counted - fetched as f64).abs() < 0.5, "{counted} counted, {fetched} fetched");

    let part = seen.keys().max().expect("there are some").clone();
    strangers_stay_out(&nginx, &http, (&part, &stream.play_token())).await;

    let (status, text) = output(
        "ffprobe",
        &["-v", "error", "-show_entries", "stream=codec_type", "-of", "csv=p=0", &entry],
        s(60),
    )
    .await;
    assert!(status.success() && text.contains("video") && text.contains("audio"), "{text}");

    let hot = format!("{}/hls/studio/{}/{part}", nginx.url, stream.play_token());
    // A token that was replaced opens the cache for some seconds only.
    appliance.api.must_post(&format!("{}/access/rotate", stream.path()), &json!({})).await;
    eventually("the old token is refused", s(30), || async {
        // Many at once: none may get in while another is being refused.
        let answers = (0..20).map(|_| http.get(&hot).send());
        let answers = futures::future::join_all(answers).await.into_iter();
        let got_in = answers.filter(|a| a.as_ref().is_ok_and(|a| a.status() != 401)).count();
        if got_in == 0 { Ok(()) } else { Err(format!("{got_in} of 20 got in")) }
    })
    .await;
}

/// The parts that all players have got, by name.
async fn seen_by_all(http: &Http, entry: &str) -> HashMap<String, Vec<u8>> {
    let players = (0..PLAYERS_COUNT).map(|_| tokio::spawn(watch(http.clone(), entry.to_owned())));
    let mut seen: HashMap<String, Vec<u8>> = HashMap::new();
    for player in futures::future::join_all(players).await {
        for (name, bytes) in player.expect("it does not panic") {
            assert!(bytes.len() > 100, "{name}: {} bytes", bytes.len());
            let first = seen.entry(name.clone()).or_insert_with(|| bytes.clone());
            assert!(*first == bytes, "{name}: the same for everybody");
        }
    }
    seen
}

/// Every part and every blocking reload went to the appliance once; admissions every 5 s, and then by
/// all who came before the answer.
fn one_fetch_of_each(requests: &BTreeMap<String, (usize, usize)>, parts_count: usize) {
    let of =
        |what: &str| requests.iter().filter(|(name, _)| name.contains(what)).collect::<Vec<_>>();
    let (parts, reloads) = (of(".m4s"), of("_HLS_msn="));
    eprintln!("{} parts, {} blocking reloads, {requests:?}", parts.len(), reloads.len());
    assert!(parts.len() >= PARTS_COUNT && parts.len() == parts_count, "{parts:?}");
    for (name, (asked, fetched)) in parts.iter().chain(&reloads) {
        assert_eq!(*fetched, 1, "{name}: asked for {asked} times");
    }
    let asked: usize = parts.iter().map(|(_, (asked, _))| asked).sum();
    assert_eq!(asked, PLAYERS_COUNT * PARTS_COUNT);
    let (_, (asked, fetched)) = of("admission")[0];
    assert!(fetched * 10 < *asked, "{fetched} of {asked} admissions");
}

/// What players have brought into the cache is not given to anybody without a token.
async fn strangers_stay_out(nginx: &Nginx, http: &Http, (part, token): (&str, &str)) {
    let folder = format!("{}/hls/studio", nginx.url);
    let answer = async |url: &str, bearer: &str| {
        let request = http.get(url).bearer_auth(bearer);
        let request = if bearer.is_empty() { http.get(url) } else { request };
        let answer = request.send().await.expect("an answer");
        let status = answer.headers().get("x-cache-status").and_then(|v| v.to_str().ok());
        (answer.status().as_u16(), status.unwrap_or_default().to_owned())
    };
    let hit = (200, "HIT".to_owned());
    assert_eq!(answer(&format!("{folder}/{token}/{part}"), "").await, hit);
    assert_eq!(answer(&format!("{folder}/{part}?token={token}"), "").await, hit);
    assert_eq!(answer(&format!("{folder}/{part}"), token).await, (200, "BYPASS".to_owned()));
    for (url, bearer) in [
        (format!("{folder}/{part}"), ""),
        (format!("{folder}/wrong-token/{part}"), ""),
        (format!("{folder}/{part}?token=wrong-token"), ""),
        (format!("{folder}/{token}/{part}?token=wrong-token"), ""),
        (format!("{folder}/{part}"), "wrong-token"),
        (format!("{folder}/wrong-token/{part}"), "wrong-token"),
        (format!("{}/hls/other/{token}/{part}", nginx.url), ""),
    ] {
        let (status, _) = answer(&url, bearer).await;
        assert!([401, 404].contains(&status), "{url} with `{bearer}`: {status}");
    }
    let said = http.get(format!("{folder}/wrong-token/{part}")).send().await.expect("an answer");
    assert_eq!(said.headers()["access-control-allow-origin"], "*");
    assert!(said.text().await.is_ok_and(|text| text.contains("\"unauthorized\"")));
    for outside in ["/admission", "/api/v1/streams", "/"] {
        assert_eq!(answer(&format!("{}{outside}", nginx.url), "").await.0, 404, "{outside}");
    }
}
