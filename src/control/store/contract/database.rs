//! The database as a whole.

use super::TestDatabase;
use crate::control::store::Error;

pub(crate) async fn says_whether_it_can_be_written(database: &impl TestDatabase) {
    let store = database.open().await;
    for _ in 0..2 {
        store.database.try_write().await.expect("writes");
    }
    store.close().await;
    let closed = store.database.try_write().await;
    assert!(matches!(closed, Err(Error::Sql { .. })), "{closed:?}");
}

pub(crate) async fn is_shared_by_all_its_tables(database: &impl TestDatabase) {
    let (one, other) = (database.open().await, database.open().await);
    one.settings.set("k", "value").await.expect("writes");
    assert_eq!(other.settings.get("k").await.expect("reads").as_deref(), Some("value"));
    one.clone().close().await;
    assert!(one.streams.list().await.is_err() && one.settings.get("k").await.is_err());
    assert!(other.streams.list().await.is_ok());
}
