//! Expositions as text: in an order that stays, and in the older form. Pure.

/// Whether the peer takes OpenMetrics; without a word for it, it gets what every version of Prometheus reads.
pub(super) fn takes_open_metrics<'a>(
    accept: impl IntoIterator<Item = &'a hyper::header::HeaderValue>,
) -> bool {
    accept.into_iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value
            .split(',')
            .any(|range| range.trim().to_ascii_lowercase().starts_with("application/openmetrics-text"))
    })
}

/// Series of each metric in the order of their labels: the client library keeps them in a hash map. The buckets of one
/// series stay as they are.
pub(super) fn sorted(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut series: Vec<&str> = Vec::new();
    let flush = |series: &mut Vec<&str>, result: &mut String| {
        series.sort_by_cached_key(|line| labels_but_le(line));
        series.drain(..).for_each(|line| *result += &format!("{line}\n"));
    };
    for line in text.lines() {
        if line.starts_with('#') {
            flush(&mut series, &mut result);
            result += &format!("{line}\n");
        } else {
            series.push(line);
        }
    }
    flush(&mut series, &mut result);
    result
}

/// No label's value has a comma or a quote in it: all are names that are known.
fn labels_but_le(line: &str) -> String {
    let labels =
        line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inside, _)| inside);
    labels.split(',').filter(|label| !label.starts_with("le=")).collect::<Vec<_>>().join(",")
}

/// The text format 0.0.4 of an OpenMetrics exposition: there a counter's family is named as its series are, and units and
/// the end are not told.
pub(super) fn classic(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut result = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("UNIT" | "EOF"), ..) => {}
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(&name) => {
                result += &format!("# {kind} {name}_total {rest}\n");
            }
            _ => result += &format!("{line}\n"),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn series_are_in_order_and_buckets_stay() {
        let text = "# TYPE a histogram\na_sum{m=\"y\"} 1\na_bucket{le=\"5.0\",m=\"y\"} 1\na_bucket{le=\"10.0\",m=\"y\"} 1\n\
                    a_sum{m=\"x\"} 2\n# TYPE b counter\nb_total{k=\"2\"} 1\nb_total{k=\"1\"} 1\n# EOF\n";
        let expected = "# TYPE a histogram\na_sum{m=\"x\"} 2\na_sum{m=\"y\"} 1\na_bucket{le=\"5.0\",m=\"y\"} 1\n\
                        a_bucket{le=\"10.0\",m=\"y\"} 1\n# TYPE b counter\nb_total{k=\"1\"} 1\nb_total{k=\"2\"} 1\n# EOF\n";
        assert_eq!(sorted(text), expected);
    }

    #[test]
    fn the_older_form_names_counters_by_their_series() {
        let text = "# HELP a Words.\n# TYPE a counter\na_total 1\n# HELP b_seconds Time.\n# TYPE b_seconds gauge\n\
                    # UNIT b_seconds seconds\nb_seconds 1.5\n# EOF\n";
        let expected = "# HELP a_total Words.\n# TYPE a_total counter\na_total 1\n# HELP b_seconds Time.\n\
                        # TYPE b_seconds gauge\nb_seconds 1.5\n";
        assert_eq!(classic(text), expected);
    }

    #[test]
    fn the_form_is_what_the_peer_takes() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (vec![prometheus], true),
            (vec!["text/plain", "application/openmetrics-text"], true),
            (vec!["*/*"], false),
            (vec!["text/plain;version=0.0.4"], false),
            (vec![], false),
        ] {
            let values: Vec<_> = accept.iter().map(|value| HeaderValue::from_static(value)).collect();
            assert_eq!(takes_open_metrics(&values), expected, "{accept:?}");
        }
    }
}
