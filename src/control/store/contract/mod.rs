//! The tests that every backend passes. A backend says how to make an empty database
//! ([`TestDatabase`]) and runs them all by one line, `contract_tests!(ItsTestDatabase);`.

pub(super) mod access;
pub(super) mod api_tokens;
pub(super) mod cues;
pub(super) mod database;
pub(super) mod load;
pub(super) mod search;
pub(super) mod settings;
pub(super) mod streams;

use super::Store;

/// An empty database of a backend. It ends with this value.
pub(super) trait TestDatabase: Sized {
    /// `None`, noted, if this machine does not have the backend.
    fn new() -> Option<Self>;

    /// Opens it. Its data outlives the store.
    async fn open(&self) -> Store;

    /// Runs SQL that the traits have no words for: it damages rows.
    async fn execute(&self, sql: &'static str);
}

/// Runs the contract on a [`TestDatabase`], as one test per function.
macro_rules! contract_tests {
    ($database:ident) => {
        $crate::control::store::contract::contract_tests! { $database:
            streams: come_back_as_they_were_stored, an_unreadable_one_is_named_and_kept,
                a_newer_version_is_named_and_kept;
            settings: are_kept_and_changed;
            access: tokens_are_kept_and_replaced;
            api_tokens: tokens_are_kept_in_their_order_until_they_are_deleted;
            database: says_whether_it_can_be_written, is_shared_by_all_its_tables;
            cues: come_back_as_they_were_kept, what_is_deleted_is_found_no_more,
                retention_is_kept_and_changed, a_transcript_is_in_the_order_of_speech,
                a_batch_is_kept_as_a_whole_or_not_at_all, unreadable_words_leave_the_text;
            search: words_phrases_beginnings_and_accents, marks_are_where_the_words_are,
                streams_languages_and_times_narrow_a_search, nothing_that_is_typed_is_an_error;
            load: searches_and_deletions_hold_up_no_writer, pages_of_a_large_archive_are_quick;
        }
    };
    ($database:ident: $($table:ident: $($test:ident),+;)+) => {
        $(mod $table {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let made =
                    <super::$database as $crate::control::store::contract::TestDatabase>::new();
                let Some(database) = made else { return };
                $crate::control::store::contract::$table::$test(&database).await;
            })+
        })+
    };
}

pub(super) use contract_tests;
