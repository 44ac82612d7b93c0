//! `vmuster claims`.

use std::collections::BTreeSet;

use vmuster_proto::{
    clock::{Clock as _, SystemClock},
    model::{ClaimReport, ClaimState},
};

use crate::{
    args::{ClaimsCommand, Output, StateArgument},
    client::{Client, WantedClaims},
    exit::{Answered, Exit, Failure},
    render::{self, width},
};

pub(crate) async fn run(client: &mut Client, command: &ClaimsCommand) -> Result<Answered, Failure> {
    match command {
        ClaimsCommand::List { host, uuid, state, output } => {
            let state = state.map(|state| match state {
                StateArgument::Held => ClaimState::Held,
                StateArgument::Confirmed => ClaimState::Confirmed,
                StateArgument::Observed => ClaimState::Observed,
            });
            let wanted = WantedClaims { host: host.clone(), uuid: uuid.clone(), state };
            show(&client.claims(&wanted).await?, *output)
        }
        ClaimsCommand::Release { ids, uuid } => {
            let released = client.release_claims(ids.clone(), uuid.clone()).await?;
            let gone: Vec<&String> = ids.iter().filter(|id| !released.contains(id)).collect();
            let notes = gone.iter().map(|id| format!("note: {id} was not there any more")).collect();
            let text = released.iter().map(|id| format!("released {id}\n")).collect();
            Ok(Answered { text, notes, exits: BTreeSet::from([Exit::Complete]) })
        }
        ClaimsCommand::Confirm { ids } => show(&client.confirm_claims(ids.clone()).await?, Output::Table),
        ClaimsCommand::Renew { ids, hold } => {
            show(&client.renew_claims(ids.clone(), *hold).await?, Output::Table)
        }
    }
}

fn show(claims: &[ClaimReport], output: Output) -> Result<Answered, Failure> {
    let text = match output {
        Output::Table => render::claims::table(claims, SystemClock.now(), width()),
        Output::Plain => claims.iter().map(|claim| format!("{}\n", claim.id)).collect(),
        Output::Json => render::json(&render::claims::Document::new(claims))?,
        Output::Yaml => render::yaml(&render::claims::Document::new(claims))?,
    };
    Ok(Answered { text, notes: Vec::new(), exits: BTreeSet::from([Exit::Complete]) })
}
