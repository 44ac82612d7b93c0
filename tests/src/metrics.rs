//! Metrics as a strict scraper sees them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

/// What Prometheus sends.
pub const PROMETHEUS_ACCEPT: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                                     version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// All of it.
    pub body: String,
}

/// Sends a request as it is, and reads until the server closes.
pub fn exchange(mut stream: impl Read + Write, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.parse().expect("a number"),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        body: body.to_owned(),
    }
}

/// Asks on a Unix socket.
pub fn request(socket: &Path, method: &str, path: &str, accept: &str) -> Answer {
    let stream = UnixStream::connect(socket).expect("it serves metrics");
    exchange(stream, &format!("{method} {path} HTTP/1.1\r\nHost: metrics\r\nAccept: {accept}\r\n\r\n"))
}

/// A scrape as Prometheus makes it, checked in every line.
pub fn scrape(socket: &Path) -> Exposition {
    let answer = request(socket, "GET", "/metrics", PROMETHEUS_ACCEPT);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Exposition::parse(&answer.body)
}

/// Metrics with one name.
#[derive(Debug, Default)]
pub struct Metric {
    /// "counter", "gauge", "histogram".
    pub kind: String,
    /// Its help.
    pub help: String,
    /// Names of labels, but `le`.
    pub labels: BTreeSet<String>,
}

/// A scrape.
#[derive(Debug, Default)]
pub struct Exposition {
    /// By the name that a query uses; of a counter with `_total`.
    pub metrics: BTreeMap<String, Metric>,
    /// By name and labels as they stand.
    series: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads OpenMetrics text, refusing what Prometheus or a reader would stumble over.
    ///
    /// # Panics
    /// It is not as it should be.
    pub fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
        let mut parsed = Self::default();
        let (mut name, mut metric) = (String::new(), Metric::default());
        let mut in_order: Vec<String> = Vec::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                parsed.finish(&name, std::mem::take(&mut metric));
                let (new, help) = rest.split_once(' ').expect("words");
                assert!(help.len() > 5, "{line}");
                (name, metric.help) = (new.to_owned(), help.to_owned());
                in_order.clear();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (of, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(of, name, "TYPE follows HELP");
                kind.clone_into(&mut metric.kind);
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (of, unit) = rest.split_once(' ').expect("a unit");
                assert!(of == name && name.ends_with(&format!("_{unit}")), "{line}");
            } else {
                let labels = parsed.sample(&name, &metric.kind, line);
                assert!(in_order.last().is_none_or(|last| *last <= labels), "not in order: {line}");
                in_order.push(labels);
                let keys = line.split_once('{').map(|(_, rest)| rest.split_once('}').expect("closed").0);
                let keys = keys.iter().flat_map(|keys| keys.split(',')).map(|label| label.split('=').next());
                metric.labels.extend(keys.flatten().filter(|key| *key != "le").map(str::to_owned));
            }
        }
        parsed.finish(&name, metric);
        parsed
    }

    fn finish(&mut self, name: &str, metric: Metric) {
        if name.is_empty() {
            return;
        }
        assert!(["counter", "gauge", "histogram"].contains(&&*metric.kind), "{name}: {}", metric.kind);
        let name = if metric.kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        assert!(self.metrics.insert(name.clone(), metric).is_none(), "{name} comes twice");
    }

    /// Gives its labels but `le`, which are its place in the order.
    fn sample(&mut self, name: &str, kind: &str, line: &str) -> String {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value.is_finite() && (kind == "gauge" || value >= 0.0), "{line}");
        let (base, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect("closed");
        let suffix = base.strip_prefix(name).unwrap_or_else(|| panic!("{line} stands under {name}"));
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_sum", "_count", "_bucket"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}: no {kind} has {suffix:?}");
        assert_eq!(suffix == "_bucket", labels.contains("le=\""), "{line}");
        assert!(self.series.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        labels.split(',').filter(|label| !label.starts_with("le=")).collect::<Vec<_>>().join(",")
    }

    /// A series by its name and labels, as they stand.
    ///
    /// # Panics
    /// It is not there.
    pub fn value(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or_else(|| panic!("no {series} in {:#?}", self.series))
    }

    /// The same; zero if it is not there.
    #[must_use]
    pub fn count(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or_default()
    }

    /// Series that begin so, with their values.
    pub fn starting_with<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let all = self.series.iter().filter(move |(series, _)| series.starts_with(start));
        all.map(|(series, value)| (series.as_str(), *value))
    }
}
