//! From the text of a variable to a value. The errors say what the text is not; the range is
//! checked afterwards, for builder and environment alike.

use super::{HugePages, HugePagesWanted, Isolation, Mode, Timeout};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a parser says of text it cannot read.
pub(super) type Problem = String;

/// A whole number.
pub(super) fn whole(text: &str) -> Result<usize, Problem> {
    text.parse().map_err(|_| "is not a whole number".to_owned())
}

/// A number, finite or not: the range check refuses what is not.
pub(super) fn real(text: &str) -> Result<f64, Problem> {
    text.parse().map_err(|_| "is not a number".to_owned())
}

/// A whole number of bytes, or of `KiB`, `MiB`, `GiB`.
pub(super) fn bytes(text: &str) -> Result<usize, Problem> {
    let problem = || "is not a number of bytes".to_owned();
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1usize << 30)];
    let (number, unit) = units
        .iter()
        .find_map(|&(name, unit)| Some((text.strip_suffix(name)?.trim_end(), unit)))
        .unwrap_or((text, 1));
    let number: usize = number.parse().map_err(|_| problem())?;
    number.checked_mul(unit).ok_or_else(problem)
}

/// A switch.
pub(super) fn switch(text: &str) -> Result<bool, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// A seed, decimal or hexadecimal.
pub(super) fn seed(text: &str) -> Result<u64, Problem> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "is not a 64-bit number".to_owned())
}

/// Microseconds.
pub(super) fn microseconds(text: &str) -> Result<Duration, Problem> {
    Duration::try_from_secs_f64(real(text)? / 1e6)
        .map_err(|_| "is not a number of microseconds".to_owned())
}

/// Seconds, or -1 for ever.
pub(super) fn timeout(text: &str) -> Result<Timeout, Problem> {
    let seconds = real(text)?;
    if seconds == -1.0 {
        return Ok(Timeout::Never);
    }
    Duration::try_from_secs_f64(seconds)
        .map(Timeout::After)
        .map_err(|_| "is not a number of seconds, and only -1 means for ever".to_owned())
}

/// The word of a mode.
pub(super) fn mode(text: &str) -> Result<Mode, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "script" => Ok(Mode::Script),
        "inline" => Ok(Mode::Inline),
        "silent" => Ok(Mode::Silent),
        _ => Err("is not a mode".to_owned()),
    }
}

/// The word of an isolation.
pub(super) fn isolation(text: &str) -> Result<Isolation, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "thread" => Ok(Isolation::Thread),
        "process" => Ok(Isolation::Process),
        _ => Err("is not an isolation".to_owned()),
    }
}

/// The word of a policy for huge pages, or the older switch.
pub(super) fn huge_pages(text: &str) -> Result<HugePagesWanted, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(HugePages::Auto.into()),
        "require" => Ok(HugePages::Require.into()),
        "off" => Ok(HugePages::Off.into()),
        other => match switch(other) {
            Ok(on) => Ok(on.into()),
            Err(_) => Err("is none of auto, require and off".to_owned()),
        },
    }
}

/// A path.
pub(super) fn path(text: &str) -> Result<PathBuf, Problem> {
    Ok(PathBuf::from(text))
}

/// `name=amount,name=amount`; white space around the parts and a comma at the end do no harm.
pub(super) fn resources(text: &str) -> Result<BTreeMap<String, f64>, Problem> {
    let mut resources = BTreeMap::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (name, quantity) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is not name=amount"))?;
        let (name, quantity) = (name.trim(), quantity.trim());
        let quantity = real(quantity).map_err(|problem| format!("{quantity:?} {problem}"))?;
        if resources.insert(name.to_owned(), quantity).is_some() {
            return Err(format!("names {name:?} twice"));
        }
    }
    Ok(resources)
}
