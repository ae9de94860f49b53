//! Table `setting`.

use super::TestDatabase;

pub(crate) async fn are_kept_and_changed(database: &impl TestDatabase) {
    let store = database.open().await;
    assert_eq!(store.settings.get("k").await.expect("reads"), None);
    for value in ["one", "two"] {
        store.settings.set("k", value).await.expect("writes");
        assert_eq!(store.settings.get("k").await.expect("reads").as_deref(), Some(value));
    }
    store.close().await;
    let again = database.open().await;
    assert_eq!(again.settings.get("k").await.expect("reads").as_deref(), Some("two"));
}
