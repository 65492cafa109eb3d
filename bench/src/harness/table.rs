//! The table on the terminal.

use super::result::{PeerFigure, RowResult};

/// The line above the rows.
pub fn header() -> String {
    format!(
        "{:<28} {:<5} {:>9} {:>9} {:>9}  {:<18} {:>9} {:>7} {:>4}  peers (x = times slower than the subject)",
        "row", "unit", "p50", "p99", "p99.9", "floor", "floor p50", "ratio", "drop"
    )
}

/// The line or lines of one row.
pub fn line(result: &RowResult) -> String {
    let reason = result
        .error
        .as_ref()
        .map(|error| format!("FAILED: {error}"));
    let reason = reason.or_else(|| {
        result
            .skipped
            .as_ref()
            .map(|skip| format!("skipped: {skip}"))
    });
    if let Some(reason) = reason {
        return format!("{:<28} {:<5} {reason}", result.name, result.unit.name());
    }
    let floor = result.floor.as_ref();
    let mut text = format!(
        "{:<28} {:<5} {:>9} {:>9} {:>9}  {:<18} {:>9} {:>7} {:>4}  {}",
        result.name,
        result.unit.name(),
        figure(result.p50),
        figure(result.p99),
        figure(result.p999),
        floor.map_or("-", |floor| floor.name.as_str()),
        figure(floor.map(|floor| floor.p50)),
        result
            .ratio
            .map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
        result.dropped,
        result
            .peers
            .iter()
            .map(|(name, peer)| cell(name, peer))
            .collect::<Vec<_>>()
            .join(", "),
    );
    text.truncate(text.trim_end().len());
    for (name, peer) in &result.peers {
        if let Some(note) = peer.note.as_ref().or(peer.skipped.as_ref()) {
            text.push_str(&format!("\n{:<28} - {name}: {note}", ""));
        }
    }
    if let Some(note) = &result.note {
        text.push_str(&format!("\n{:<28} - {note}", ""));
    }
    text
}

fn cell(name: &str, peer: &PeerFigure) -> String {
    match (&peer.skipped, peer.ratio) {
        (Some(_), _) => format!("{name} skipped"),
        (None, Some(ratio)) => format!("{name} {} ({ratio:.2}x)", figure(peer.p50)),
        (None, None) => format!("{name} {} (-)", figure(peer.p50)),
    }
}

/// Four significant digits with a suffix of thousands.
fn figure(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let (scaled, suffix) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, " G"),
        v if v >= 1e6 => (value / 1e6, " M"),
        v if v >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        v if v >= 1_000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        _ => 3,
    };
    format!("{scaled:.decimals$}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_four_digits() {
        let shown = |value| figure(Some(value));
        assert_eq!(shown(2.5), "2.500");
        assert_eq!(shown(123.456), "123.5");
        assert_eq!(shown(1_234.5), "1234");
        assert_eq!(shown(45_678.0), "45.68 k");
        assert_eq!(shown(119e6), "119.0 M");
        assert_eq!(figure(None), "-");
    }
}
