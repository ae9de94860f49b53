//! The contract on PostgreSQL, and what only PostgreSQL has: a server that refuses, stops and returns.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use crate::control::store::contract::{TestDatabase, contract_tests};
use crate::control::store::{Config, Error, Store};
use crate::media::{IgnorePoison, Secret};
use crate::test_postgres::Postgres;

/// The cluster of this test process: it is started by the first test that needs it, and ends with the
/// last one that uses it.
static CLUSTER: std::sync::Mutex<Weak<Postgres>> = std::sync::Mutex::new(Weak::new());

fn cluster() -> Option<Arc<Postgres>> {
    let mut shared = CLUSTER.lock().ignore_poison();
    if let Some(running) = shared.upgrade() {
        return Some(running);
    }
    let started = Arc::new(Postgres::start()?);
    *shared = Arc::downgrade(&started);
    Some(started)
}

/// A database of its own in the cluster.
pub(in crate::control::store) struct TestServer {
    cluster: Arc<Postgres>,
    name: String,
    config: Config,
}

impl TestDatabase for TestServer {
    fn new() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let cluster = cluster()?;
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let url = Secret::new(cluster.database(&name));
        Some(Self { cluster, name, config: Config { url, ..Config::default() } })
    }

    async fn open(&self) -> Store {
        Store::open(&self.config, std::path::Path::new("/nowhere")).await.expect("opens")
    }

    async fn execute(&self, sql: &'static str) {
        self.cluster.sql(&self.name, sql);
    }
}

contract_tests!(TestServer);

/// The refusal of a database.
async fn refusal(config: &Config) -> String {
    let opened = Store::open(config, std::path::Path::new("/nowhere")).await;
    let error = opened.err().expect("refused");
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    error.to_string()
}

fn at(url: String) -> Config {
    Config { url: Secret::new(url), ..Config::default() }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_refused_with_a_remedy() {
    let Some(server) = TestServer::new() else { return };
    let check = async |config: Config, expect: &[&str]| {
        let said = refusal(&config).await;
        assert!(expect.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = port.local_addr().expect("bound").port();
    drop(port);
    let url = format!("postgres://auralink:hunter2@127.0.0.1:{closed}/x");
    check(at(url), &["Connection refused", "see that the server runs", &closed.to_string()]).await;
    let url = server.cluster.address("auralink", "nosuch");
    check(at(url), &["nosuch", "createdb"]).await;
    let url = server.cluster.address("nobody", &server.name);
    check(at(url), &["nobody", "CREATE ROLE"]).await;
    server.cluster.sql("postgres", "CREATE ROLE guest LOGIN");
    let url = server.cluster.address("guest", &server.name);
    check(at(url), &["permission denied", "GRANT CREATE ON SCHEMA public TO guest"]).await;
    let ascii = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    server.cluster.sql("postgres", ascii);
    check(at(server.cluster.address("auralink", "latin")), &["LATIN1", "--encoding=UTF8"]).await;
    server.cluster.sql("postgres", "ALTER ROLE guest SET default_transaction_read_only = on");
    check(at(server.cluster.address("guest", &server.name)), &["standby", "primary"]).await;
    let url = format!("{}&sslmode=verify-full", server.cluster.address("auralink", &server.name));
    check(at(url), &["TLS", "sslmode"]).await;
}

#[tokio::test]
async fn tables_of_a_newer_program_are_left_alone() {
    let Some(server) = TestServer::new() else { return };
    server.open().await.close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', true, '', 0)";
    server.execute(newer).await;
    let said = refusal(&server.config).await;
    assert!(said.contains("newer program") && said.contains("backup"), "{said}");
}

#[tokio::test]
async fn a_wrong_password_is_told_and_no_password_is_shown() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = port.local_addr().expect("bound").port();
    drop(port);
    let Some(cluster) = Postgres::start_on(free) else { return };
    let url = cluster.database("secret");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "hunter2\n").expect("written");
    let mut config = Config { password_file: Some(file.path().to_owned()), ..at(url) };
    let said = refusal(&config).await;
    assert!(said.contains("password") && !said.contains("hunter2"), "{said}");
    std::fs::write(file.path(), crate::test_postgres::PASSWORD).expect("written");
    let nowhere = std::path::Path::new("/nowhere");
    let store = Store::open(&config, nowhere).await.expect("opens by a password file");
    store.close().await;
    config.password_file = None;
    config.password = Secret::new(crate::test_postgres::PASSWORD);
    Store::open(&config, nowhere).await.expect("opens by a password").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_is_away_and_is_used_again_when_it_is_back() {
    let Some(cluster) = Postgres::start() else { return };
    let config = at(cluster.database("restarted"));
    let store = Store::open(&config, std::path::Path::new("/nowhere")).await.expect("opens");
    for round in 0..2 {
        store.settings.set("key", &round.to_string()).await.expect("written");
        cluster.stop();
        let refused = store.settings.set("key", "lost").await;
        assert!(matches!(refused, Err(Error::Away { .. })), "{refused:?}");
        let search = crate::control::store::Search { limit: 1, ..Default::default() };
        let refused = store.cues.search(&search).await;
        assert!(matches!(refused, Err(Error::Away { .. })), "{refused:?}");
        cluster.launch();
        let kept = store.settings.get("key").await.expect("it reconnects");
        assert_eq!(kept, Some(round.to_string()));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_takes_too_long_is_given_up_and_the_next_is_answered() {
    let Some(server) = TestServer::new() else { return };
    let backend = super::PostgresBackend::open(&server.config).await.expect("opens");
    let tables = crate::control::store::sql::SqlTables::new(Arc::new(backend));
    use crate::control::store::sql::{Access, Statement};
    for _ in 0..2 {
        let endless = Statement::new("SELECT 'x' FROM pg_sleep(600)");
        let given_up = tables.rows(Access::Search, "wait", endless).await;
        assert!(matches!(given_up, Err(Error::Costly)), "{given_up:?}");
        let one = tables.rows(Access::Search, "read", Statement::new("SELECT 'x'")).await;
        assert_eq!(one.expect("answered").len(), 1);
    }
    let write = Statement::new("DELETE FROM setting");
    let refused = tables.rows(Access::Search, "write", write).await;
    assert!(refused.is_err(), "a search changes nothing: {refused:?}");
}
