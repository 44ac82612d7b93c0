//! Waiting for what sends no event.

use std::time::Duration;

/// How often to look.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Far longer than anything waited for takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until it is so.
///
/// # Panics
/// It does not become so.
pub async fn until(what: &str, is_so: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, is_so).await;
}

/// The same of what takes long by itself.
///
/// # Panics
/// It does not become so.
pub async fn until_within(patience: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    let waited = tokio::time::timeout(patience, looking).await;
    assert!(waited.is_ok(), "{what}: not after {} s", patience.as_secs());
}
