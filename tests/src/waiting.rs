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
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, looking).await;
    assert!(waited.is_ok(), "{what}: not after {} s", PATIENCE.as_secs());
}
