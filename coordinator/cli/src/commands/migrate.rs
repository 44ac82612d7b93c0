//! `vmuster migrate`.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use vmuster_proto::{
    libvirt::xml::DEFINITION_MAX_BYTES,
    model::{MigrationAnswer, VerdictKind},
};

use crate::{
    args::{MigrateCheckArguments, MigrateCommand, Output},
    client::{Client, Guest},
    exit::{Answered, Exit, Failure},
    render::{self, width},
};

pub(crate) async fn run(
    client: &mut Client,
    command: &MigrateCommand,
    max_age: Option<Duration>,
) -> Result<Answered, Failure> {
    match command {
        MigrateCommand::Check(arguments) => check(client, arguments, max_age).await,
    }
}

async fn check(
    client: &mut Client,
    arguments: &MigrateCheckArguments,
    max_age: Option<Duration>,
) -> Result<Answered, Failure> {
    let guest = match (&arguments.domain, &arguments.from, &arguments.xml) {
        (Some(domain), Some(host), None) => Guest::Domain { host: host.clone(), domain: domain.clone() },
        (None, None, Some(file)) => Guest::Xml(definition(file)?),
        // The parser of arguments has refused all else.
        _ => return Err(Failure::usage("give --domain with --from, or --xml")),
    };
    let answer = client.check_migration(guest, &arguments.scope(), max_age).await?;
    let text = match arguments.output {
        Output::Table => render::migrate::table(&answer, width()),
        Output::Plain => render::migrate::plain(&answer),
        Output::Json => render::json(&render::migrate::Document::new(&answer))?,
        Output::Yaml => render::yaml(&render::migrate::Document::new(&answer))?,
    };
    Ok(Answered { text, notes: Vec::new(), exits: exits(&answer) })
}

/// One host that can take it is enough; else one of which it is not known.
fn exits(answer: &MigrationAnswer) -> BTreeSet<Exit> {
    let best = answer.verdicts.iter().map(|verdict| verdict.verdict).min();
    BTreeSet::from([match best {
        Some(VerdictKind::Yes) => Exit::Complete,
        Some(VerdictKind::Unknown) => Exit::Incomplete,
        Some(VerdictKind::No) | None => Exit::No,
    }])
}

/// A file's, or standard input's.
fn definition(file: &Path) -> Result<String, Failure> {
    let refused = |error: io::Error| Failure::usage(format!("--xml {}: {error}", file.display()));
    if file == Path::new("-") {
        return read(io::stdin().lock()).map_err(refused);
    }
    #[expect(clippy::disallowed_methods, reason = "the reader of people's definitions, capped")]
    let file = std::fs::File::open(file).map_err(refused)?;
    read(file).map_err(refused)
}

/// The coordinator takes no more either.
fn read(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let size = from.take(DEFINITION_MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    if size > DEFINITION_MAX_BYTES {
        let problem = format!("a guest's definition has at most {DEFINITION_MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}
