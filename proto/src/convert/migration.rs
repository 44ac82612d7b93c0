//! Answers about migrations.

use super::{DecodeError, list, section, text, verdict::verdict};
use crate::{
    model::{Domain, Finding, HostStanding, MigrationAnswer, MigrationVerdict},
    pb,
};

impl From<&MigrationAnswer> for pb::CheckMigrationResponse {
    fn from(answer: &MigrationAnswer) -> Self {
        let MigrationAnswer { domain, source_host, verdicts } = answer;
        Self {
            domain: Some(domain.into()),
            source_host: source_host.clone().unwrap_or_default(),
            verdicts: verdicts.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::CheckMigrationResponse> for MigrationAnswer {
    type Error = DecodeError;

    fn try_from(answer: pb::CheckMigrationResponse) -> Result<Self, DecodeError> {
        let domain: Option<Domain> = section("domain", answer.domain)?;
        Ok(Self {
            domain: domain.ok_or_else(|| DecodeError::new("domain", "must be set"))?,
            source_host: Some(text("source_host", answer.source_host)?).filter(|host| !host.is_empty()),
            verdicts: list("verdicts", answer.verdicts, MigrationVerdict::try_from)?,
        })
    }
}

impl From<&MigrationVerdict> for pb::MigrationVerdict {
    fn from(value: &MigrationVerdict) -> Self {
        let MigrationVerdict { host, verdict, findings } = value;
        Self {
            host: Some(host.into()),
            verdict: pb::Verdict::from(*verdict).into(),
            findings: findings.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::MigrationVerdict> for MigrationVerdict {
    type Error = DecodeError;

    /// A verdict that is better than its findings is not believed.
    fn try_from(value: pb::MigrationVerdict) -> Result<Self, DecodeError> {
        let host: Option<HostStanding> = section("host", value.host)?;
        let host = host.ok_or_else(|| DecodeError::new("host", "must be set"))?;
        let findings = list("findings", value.findings, Finding::try_from)?;
        let said = verdict("verdict", value.verdict)?;
        let worst = findings.iter().map(|finding| finding.verdict).max();
        Ok(Self { host, verdict: worst.map_or(said, |worst| worst.max(said)), findings })
    }
}

impl From<&Finding> for pb::MigrationFinding {
    fn from(value: &Finding) -> Self {
        let Finding { rule, verdict, detail } = value;
        Self { rule: rule.clone(), verdict: pb::Verdict::from(*verdict).into(), detail: detail.clone() }
    }
}

impl TryFrom<pb::MigrationFinding> for Finding {
    type Error = DecodeError;

    fn try_from(value: pb::MigrationFinding) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: text("rule", value.rule)?,
            verdict: verdict("verdict", value.verdict)?,
            detail: text("detail", value.detail)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Freshness, VerdictKind};

    fn answer() -> MigrationAnswer {
        let host = HostStanding {
            name: "kvm-02".to_owned(),
            address: "kvm-02:9440".to_owned(),
            reported_name: "kvm-02".to_owned(),
            freshness: Freshness::Fresh,
            fetched_at: None,
            validated_at: None,
            collected_at: None,
            problem: None,
        };
        let findings = vec![
            Finding::new("cpu", VerdictKind::Unknown, "not known"),
            Finding::new("memory", VerdictKind::No, "too little"),
        ];
        let domain = Domain { uuid: "u".to_owned(), name: "db-1".to_owned(), ..Domain::default() };
        let verdicts = vec![MigrationVerdict::of(host, findings)];
        MigrationAnswer { domain, source_host: Some("kvm-01".to_owned()), verdicts }
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let answer = answer();
        assert_eq!(answer.verdicts[0].verdict, VerdictKind::No, "the worst of its findings");
        let wire = pb::CheckMigrationResponse::from(&answer);
        assert_eq!(MigrationAnswer::try_from(wire), Ok(answer.clone()));
        let nowhere = MigrationAnswer { source_host: None, ..answer };
        assert_eq!(MigrationAnswer::try_from(pb::CheckMigrationResponse::from(&nowhere)), Ok(nowhere));
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_new_is_no_yes() {
        let wire = pb::CheckMigrationResponse::from(&answer());
        let problem = |wire: pb::CheckMigrationResponse| {
            MigrationAnswer::try_from(wire).expect_err("broken").to_string()
        };
        assert_eq!(
            problem(pb::CheckMigrationResponse { domain: None, ..wire.clone() }),
            "field domain: must be set"
        );
        let mut broken = wire.clone();
        broken.verdicts[0].findings[1].verdict = 0;
        assert_eq!(problem(broken), "field verdicts[0].findings[1].verdict: must be set");
        let mut newer = wire;
        newer.verdicts[0].findings.truncate(1);
        (newer.verdicts[0].verdict, newer.verdicts[0].findings[0].verdict) = (1, 77);
        let decoded = MigrationAnswer::try_from(newer).expect("sane");
        assert_eq!(decoded.verdicts[0].verdict, VerdictKind::Unknown);
    }
}
