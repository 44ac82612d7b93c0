//! Claims in a directory, without a coordinator around them. `loop` admits one after the other, or several at once, and
//! prints each that is durable, until it is killed; `obey` does what each line of stdin says: `put N` admits so many at once,
//! `drop cN` releases one; it prints how that went.

use std::{
    convert::Infallible,
    error::Error,
    io::{BufRead as _, Write as _, stdin, stdout},
    path::Path,
    sync::Arc,
    time::Duration,
};

use vmuster_coordinator::claims::{
    ChangeError, ClaimId, ClaimedResources, CommitError, Conflict, InstanceId, Ledger, NewClaim, Purpose,
    SqliteClaims, hold_until,
};
use vmuster_proto::clock::{Clock as _, SystemClock};

/// Callers at once, so that commits have several batches.
const CALLERS: usize = 4;

/// Far longer than a disk takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn asked() -> Result<NewClaim, Box<dyn Error>> {
    let now = SystemClock.now();
    let instance = InstanceId(fastrand::u128(..));
    Ok(NewClaim {
        instance,
        host: format!("kvm-{}", fastrand::u8(..)),
        resources: ClaimedResources::default(),
        purpose: Purpose::New,
        request_id: String::new(),
        signature: "-".repeat(200),
        groups: Vec::new(),
        rules: Vec::new(),
        over_committed: false,
        created_at: now,
        expires_at: hold_until(now, None)?,
    })
}

fn say(line: &str) -> Result<(), Box<dyn Error>> {
    // In one write: a line that is seen is whole.
    let mut stdout = stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    Ok(stdout.flush()?)
}

/// Admits so many and waits until they are durable.
async fn put(ledger: &Ledger, count: usize) -> Result<Vec<(ClaimId, InstanceId)>, Box<dyn Error>> {
    let asked = (0..count).map(|_| asked()).collect::<Result<Vec<_>, _>>()?;
    let instances: Vec<_> = asked.iter().map(|claim| claim.instance).collect();
    let made = ledger.change(|kept| {
        let first = kept.book.next_id();
        kept.book.admit(asked).map(|changes| (first, changes))
    });
    let (first, pending) = made.map_err(|error: ChangeError<Conflict>| error.to_string())?;
    pending.done(PATIENCE).await?;
    Ok((first..).map(ClaimId).zip(instances).collect())
}

async fn commit_until_killed(ledger: Ledger) -> Result<(), Box<dyn Error>> {
    let ledger = Arc::new(ledger);
    let callers = (0..CALLERS).map(|_| async {
        loop {
            for (id, instance) in put(&ledger, 1).await? {
                say(&format!("{id} {instance}"))?;
            }
        }
    });
    futures::future::try_join_all(callers).await.map(|_: Vec<()>| ())
}

async fn obey(ledger: &Ledger, line: &str) -> Result<(), Box<dyn Error>> {
    match line.split_once(' ') {
        Some(("put", count)) => put(ledger, count.parse()?).await.map(drop),
        Some(("drop", id)) => {
            let ids = [id.parse()?].into();
            let changed = ledger.change(|kept| Ok::<_, Infallible>(((), kept.book.release(&ids).changes)));
            Ok(changed.map_err(|error| error.to_string())?.1.done(PATIENCE).await?)
        }
        _ => Err("put N or drop cN".into()),
    }
}

/// The kind of the store's error, where it is one.
fn kind(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<CommitError>() {
        Some(CommitError::Failed(cause)) => {
            let kind = format!("{cause:?}");
            format!("failed {}: {cause}", kind.split(' ').next().unwrap_or_default())
        }
        _ => format!("failed: {error}"),
    }
}

async fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let [directory, mode] = words else {
        return Err("usage: vmuster-claims DIRECTORY loop|obey".into());
    };
    let ledger = Ledger::open(Arc::new(SqliteClaims::open(Path::new(directory))?))?;
    if mode == "loop" {
        return commit_until_killed(ledger).await;
    }
    for line in stdin().lock().lines() {
        let went = obey(&ledger, &line?).await;
        let count = ledger.read(|kept| kept.book.len());
        say(&went.map_or_else(|error| kind(&*error), |()| format!("ok {count}")))?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(&words))
}
