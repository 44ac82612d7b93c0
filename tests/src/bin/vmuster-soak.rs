//! A soak as a program: 1,000 simulated hosts of which a tenth fails, a real coordinator, questions all the time, for so many
//! minutes. Ends with 1 if memory, descriptors or threads grow.

use std::{env, error::Error, path::PathBuf, process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use vmuster_tests::soak::{Plan, soak};

/// A minute has thirds of 13 s after the warm-up; in less there is nothing to compare. A day is enough for anybody.
const MINUTES: std::ops::RangeInclusive<u64> = 1..=24 * 60;

async fn run(minutes: u64, coordinator: PathBuf) -> Result<bool, Box<dyn Error>> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // The coordinator ends with what is dropped here.
    let (text, is_good) = tokio::select! {
        told = soak(Plan::new(Duration::from_secs(60 * minutes)), &coordinator) => told,
        _ = terminated.recv() => return Err("terminated".into()),
        _ = interrupted.recv() => return Err("interrupted".into()),
    };
    print!("soak of {minutes} min\n{text}");
    Ok(is_good)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(minutes), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: vmuster-soak MINUTES".into());
    };
    let minutes: u64 = minutes.parse()?;
    if !MINUTES.contains(&minutes) {
        return Err(format!("{MINUTES:?} minutes, not {minutes}").into());
    }
    // The coordinator of the same build.
    let coordinator = env::current_exe()?.with_file_name("vmuster-coordinator");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let is_good = runtime.block_on(run(minutes, coordinator))?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
