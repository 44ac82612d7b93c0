//! A progress bar on stderr, only where somebody looks at it.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use vmuster_proto::model::Freshness;

use crate::{
    args::ScopeArguments,
    client::{Client, Refreshed},
    exit::Failure,
};

/// A bar, or nothing at all.
pub(crate) struct Bar {
    bar: ProgressBar,
    failed_count: usize,
}

impl Bar {
    pub(crate) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), failed_count: 0 };
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("asking {bar:30} {pos}/{len} hosts{msg}, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, failed_count: 0 }
    }

    pub(crate) fn step(&mut self, step: &Refreshed) {
        if step.host.as_ref().is_some_and(|(host, _)| host.freshness != Freshness::Fresh) {
            self.failed_count += 1;
            self.bar.set_message(format!(", {} failed", self.failed_count));
        }
        self.bar.set_length(u64::from(step.of));
        self.bar.set_position(u64::from(step.done));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Brings the hosts in scope up to date under a progress bar, and returns the `max_age` with which a question right
/// after it need not ask them again. Off a terminal it does nothing: the question asks by itself.
pub(crate) async fn refresh_first(
    client: &mut Client,
    scope: &ScopeArguments,
    max_age: Option<Duration>,
) -> Result<Option<Duration>, Failure> {
    let mut bar = Bar::new();
    if bar.bar.is_hidden() || !client.shows_progress() {
        return Ok(max_age);
    }
    let start = Instant::now();
    let mut steps = client.refresh(scope, max_age).await?;
    let mut all_fresh = true;
    while let Some(step) = steps.next().await {
        let step = step?;
        bar.step(&step);
        all_fresh &= step.host.is_none_or(|(host, _)| host.freshness == Freshness::Fresh);
    }
    bar.finish();
    // A host that was just asked in vain must not pass for fresh because the question is put a little later.
    let since = start.elapsed() + Duration::from_secs(1);
    Ok(max_age.map(|max_age| if all_fresh { max_age.saturating_add(since) } else { max_age }))
}
