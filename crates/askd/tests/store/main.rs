//! The store as its callers meet it, on both engines: SQLite in a folder, and a private PostgreSQL.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

mod api_keys;
mod audit;
mod budget;
mod cluster;
mod config;
mod indexes;
mod keys;
mod place;
mod schema;
mod secrets;
mod small_disk;
mod speed;
mod story;
mod trouble;
mod uploads;
mod usage;
mod writer;

/// Makes two tests of each function that takes a [`place::Place`]: one on SQLite, one on PostgreSQL.
macro_rules! both_engines {
    ($($name:ident,)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::place::Place::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::place::Place::postgres().await).await;
            })+
        }
    };
}
use both_engines;
