//! The first connection: whether the server can be used, its tables, and what to do if not.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::control::store::error::migration_problem;
use crate::control::store::{Config, Error};

/// Time limit of the first connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Oldest server, as `server_version_num` has it: the oldest one of the tests.
const SERVER_MIN_VERSION: i64 = 150_000;

/// SQLSTATE of a query that took longer than `statement_timeout`.
pub(super) const CANCELED: &str = "57014";

/// Where the database is and what is wrong with it.
struct Place {
    /// Its address without a password.
    address: String,
    user: String,
    database: String,
}

impl Place {
    fn of(options: &PgConnectOptions) -> Self {
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let (user, port) = (options.get_username().to_owned(), options.get_port());
        let database = options.get_database().unwrap_or(&user).to_owned();
        Self { address: format!("postgres://{user}@{host}:{port}/{database}"), user, database }
    }

    fn refuse(&self, problem: impl Into<String>, hint: impl Into<String>) -> Error {
        let database = self.address.clone();
        Error::Open { database, problem: problem.into(), hint: hint.into() }
    }

    /// The error of a connection.
    fn unreachable(&self, error: &sqlx::Error) -> Error {
        let Self { user, database, .. } = self;
        let code = match error {
            sqlx::Error::Database(e) => e.code().unwrap_or_default().into_owned(),
            sqlx::Error::Tls(_) => {
                let hint = "see to `sslmode` and `sslrootcert` in its address";
                return self.refuse(error.to_string(), hint);
            }
            _ => String::new(),
        };
        let hint = match &*code {
            "28P01" => {
                "correct the password: `password_file` or $AURALINK_DATABASE__PASSWORD".into()
            }
            "28000" => format!("let `{user}` in: pg_hba.conf of the server, and `CREATE ROLE`"),
            "3D000" => format!("create it there: `createdb --owner={user} {database}`"),
            "42501" => {
                format!("give `{user}` the right to it: `GRANT CONNECT ON DATABASE {database}`")
            }
            "53300" => {
                "raise `max_connections` of the server, or lower those of its other users".into()
            }
            _ => "see that the server runs and can be reached, or correct [database] url".into(),
        };
        self.refuse(error.to_string(), hint)
    }

    /// The error of a migration.
    fn outdated(&self, error: &MigrateError) -> Error {
        let denied = match error {
            MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => code_of(e),
            _ => None,
        };
        if denied.as_deref() == Some("42501") {
            let user = &self.user;
            let hint =
                format!("as the owner of the database: `GRANT CREATE ON SCHEMA public TO {user}`");
            return self.refuse(error.to_string(), hint);
        }
        let (problem, hint) = migration_problem(error);
        self.refuse(problem, hint)
    }
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

/// Checks the server, runs the migrations, and returns how further connections are made.
///
/// # Errors
/// [`Error::Open`].
pub(super) async fn prepare(
    config: &Config,
    migrations: &Migrator,
) -> Result<PgConnectOptions, Error> {
    let options = options(config)?;
    let place = Place::of(&options);
    let connecting = timeout(CONNECT_MAX, PgConnection::connect_with(&options)).await;
    let mut connection = match connecting {
        Ok(connected) => connected.map_err(|error| place.unreachable(&error))?,
        Err(_) => {
            let problem = format!("no answer within {CONNECT_MAX:?}");
            let hint = "see that the server runs and its port is open, or correct [database] url";
            return Err(place.refuse(problem, hint));
        }
    };
    check(&place, &mut connection).await?;
    migrations.run(&mut connection).await.map_err(|error| place.outdated(&error))?;
    // The work is done; a connection that does not end well is the server's to clear.
    let _ = connection.close().await;
    tracing::info!(database = place.address, "the tables are in PostgreSQL");
    Ok(options)
}

/// How connections are made.
fn options(config: &Config) -> Result<PgConnectOptions, Error> {
    let refused = |problem: String| Error::Open {
        database: config.address(),
        problem,
        hint: "`auralink check` says what is wrong with [database]".into(),
    };
    // The error may repeat a part of the address.
    let options = PgConnectOptions::from_str(config.url.expose())
        .map_err(|_| refused("its address cannot be read".into()))?;
    let options = options.application_name("auralink");
    Ok(match config.read_password().map_err(refused)? {
        Some(password) => options.password(password.expose()),
        None => options,
    })
}

/// What cannot be repaired by migrations.
async fn check(place: &Place, connection: &mut PgConnection) -> Result<(), Error> {
    let sql = "SELECT current_setting('server_version_num')::bigint, \
               current_setting('server_version'), current_setting('server_encoding'), \
               pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, \
               current_setting('synchronous_commit'), current_setting('fsync')";
    let row: (i64, String, String, bool, String, String) =
        sqlx::query_as(sql).fetch_one(connection).await.map_err(|e| place.unreachable(&e))?;
    let (version, name, encoding, read_only, synchronous, fsync) = row;
    if version < SERVER_MIN_VERSION {
        let problem = format!("it is PostgreSQL {name}");
        return Err(
            place.refuse(problem, "PostgreSQL 15 or later is wanted: pg_upgrade the server")
        );
    }
    if encoding != "UTF8" {
        let hint = "create one with `createdb --encoding=UTF8 --template=template0`";
        return Err(place.refuse(format!("its encoding is {encoding}"), hint));
    }
    if read_only {
        let hint = "name the primary server in [database] url, or promote this one";
        return Err(place.refuse("it can only be read: a standby", hint));
    }
    if synchronous == "off" || fsync == "off" {
        tracing::warn!(
            synchronous_commit = synchronous,
            fsync,
            "a power cut of the database server loses acknowledged changes: set both to on there"
        );
    }
    Ok(())
}

/// Whether an operation failed because the server is not there: it has to be repeated later, and
/// neither the operation nor the data is at fault.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        // 08: connection exception; 57P: shut down, crashed, starting; 53300: too many connections;
        // 28: the role was locked out; 3D000: the database is gone; 25006: it is a standby now.
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            ["08", "57P", "28"].iter().any(|class| code.starts_with(class))
                || ["53300", "3D000", "25006"].contains(&&*code)
        }),
        _ => false,
    }
}
