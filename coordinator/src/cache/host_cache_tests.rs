//! What happens to hosts that leave while they are looked at.

use vmuster_proto::{clock::SystemClock, model::Inventory};

use super::*;
use crate::cache::GuestNames;

#[tokio::test]
async fn a_host_that_left_meanwhile_does_not_come_back() {
    let record = HostRecord {
        host: "a".to_owned(),
        address: String::new(),
        reported_name: String::new(),
        fetched_at: None,
        validated_at: None,
        inventory: Arc::new(Inventory::default()),
        issues: [].into(),
        superseded: false,
        saved_usage: None,
        guest_names: GuestNames::default(),
    };
    let cache = Arc::new(HostCache::of_records([record], Arc::new(SystemClock)));
    cache.outdate("a");
    assert!(cache.known("a").is_some_and(|record| record.superseded));
    // Between the look at the record and the change of it.
    cache.forget(vec!["a".to_owned()]).await;
    cache.outdate("a");
    assert!(cache.slot("a").is_none());
}
