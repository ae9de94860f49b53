//! Table `stream_access`.

use super::TestDatabase;
use crate::control::store::Tokens;

pub(crate) async fn tokens_are_kept_and_replaced(database: &impl TestDatabase) {
    let store = database.open().await;
    assert_eq!(store.access.tokens("demo").await.expect("reads"), None);
    for n in 0..2 {
        let tokens = Tokens { publish: format!("p{n}"), play: format!("q{n}") };
        store.access.set_tokens("demo", &tokens).await.expect("writes");
        assert_eq!(store.access.tokens("demo").await.expect("reads"), Some(tokens));
    }
    assert_eq!(store.access.tokens("other").await.expect("reads"), None);
}
