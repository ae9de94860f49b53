//! A throw-away PostgreSQL cluster: `initdb` into a temporary folder, a server on a Unix socket there,
//! or on a port of 127.0.0.1 with a password. As root it runs as the user `postgres`, as the server
//! wants it.
//!
//! Shared by the unit tests of the library and the tests in `tests/`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::needs::skip;

/// The superuser of the cluster.
const ADMIN: &str = "postgres";

/// The role that owns the databases of the tests, without rights to anything else.
const OWNER: &str = "auralink";

/// Its password, where the server wants one.
pub(crate) const PASSWORD: &str = "password-of-the-postgres-of-the-tests";

/// A cluster. It is stopped and deleted when dropped.
pub(crate) struct Postgres {
    /// Folder of Debian's or another installation's programs.
    programs: PathBuf,
    home: tempfile::TempDir,
    /// TCP port, if it listens to one besides the socket.
    port: Option<u16>,
}

impl Postgres {
    /// A running cluster on a Unix socket, whose users need no password. `None`, noted, if this
    /// machine has none.
    pub(crate) fn start() -> Option<Self> {
        Self::make(None)
    }

    /// A running cluster on this TCP port, whose users need [`PASSWORD`].
    #[allow(dead_code, reason = "the unit tests use the socket")]
    pub(crate) fn start_on(port: u16) -> Option<Self> {
        Self::make(Some(port))
    }

    fn make(port: Option<u16>) -> Option<Self> {
        let Some(programs) = programs() else {
            skip("PostgreSQL (apt-get install postgresql)");
            return None;
        };
        let home = tempfile::Builder::new().prefix("auralink-pg-").tempdir();
        let home = home.expect("the temporary folder is writable");
        if is_root() {
            let owned = Command::new("chown").arg(ADMIN).arg(home.path()).status();
            assert!(owned.is_ok_and(|s| s.success()), "the user {ADMIN} is not there");
        }
        let cluster = Self { programs, home, port };
        let password = cluster.home.path().join("password");
        std::fs::write(&password, PASSWORD).expect("written");
        let mut initdb = cluster.command("initdb");
        initdb.args([
            "--username",
            ADMIN,
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth-local=trust",
        ]);
        initdb.args(["--auth-host=scram-sha-256", "--no-sync", "-D"]).arg(cluster.data());
        initdb.arg("--pwfile").arg(&password);
        must(&mut initdb);
        cluster.launch();
        cluster.sql("postgres", &format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'"));
        Some(cluster)
    }

    /// Starts the server, again after [`Self::stop`], and waits until it accepts connections.
    pub(crate) fn launch(&self) {
        let socket = self.home.path().display();
        let listen = match self.port {
            Some(port) => format!("-c listen_addresses=127.0.0.1 -p {port}"),
            None => "-c listen_addresses=".to_owned(),
        };
        let mut start = self.command("pg_ctl");
        start.arg("-D").arg(self.data()).arg("-l").arg(self.home.path().join("log"));
        start.args(["-w", "-t", "60", "-o", &format!("-k {socket} {listen}"), "start"]);
        must(&mut start);
    }

    /// Stops the server as an administrator would: sessions are cut off.
    pub(crate) fn stop(&self) {
        let mut stop = self.command("pg_ctl");
        stop.arg("-D").arg(self.data()).args(["-w", "-m", "fast", "stop"]);
        must(&mut stop);
    }

    /// Makes an empty database of this name. Returns its address.
    pub(crate) fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {OWNER}"));
        self.address(OWNER, name)
    }

    /// The address of a database, without a password.
    pub(crate) fn address(&self, user: &str, database: &str) -> String {
        match self.port {
            Some(port) => format!("postgres://{user}@127.0.0.1:{port}/{database}"),
            None => {
                format!(
                    "postgres://{user}@localhost/{database}?host={}",
                    self.home.path().display()
                )
            }
        }
    }

    /// Runs SQL in this database as the superuser. Returns what `psql` prints.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", ADMIN, "-h"]);
        psql.arg(self.home.path()).args([
            "-p",
            &self.port.unwrap_or(5432).to_string(),
            "-d",
            database,
        ]);
        let mut child = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql is installed");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(sql.as_bytes()).expect("psql reads");
        drop(input);
        let output = child.wait_with_output().expect("psql ends");
        succeeded(&output, sql);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// One of the programs, as the user that may run it.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", ADMIN, "--regid", ADMIN, "--init-groups", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        stop.arg("-D").arg(self.data()).args(["-w", "-m", "immediate", "stop"]);
        // Not started, or stopped already.
        let _ = stop.output();
    }
}

/// Folder of the newest installed server.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|entry| entry.path().join("bin"));
    let newest = installed.filter(|bin| bin.join("initdb").exists()).max();
    newest.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|own| own.uid() == 0)
}

/// Runs it. Its output goes to a file, since a server that it starts would keep a pipe open.
fn must(command: &mut Command) {
    let said = tempfile::tempfile().expect("a temporary file");
    let share = || Stdio::from(said.try_clone().expect("a file can be shared"));
    let status = command.stdout(share()).stderr(share()).status().expect("it is installed");
    let text = || {
        use std::io::{Read, Seek};
        let (mut file, mut text) = (&said, String::new());
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
        text
    };
    assert!(status.success(), "{command:?}: {status}\n{}", text());
}

fn succeeded(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{said}", output.status);
}
