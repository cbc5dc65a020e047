//! Suggests existing names for a name that does not exist.

/// Returns up to three names that are most similar to `name`, the best first.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const ALIKE: f64 = 0.75;
    let mut found: Vec<(f64, &str)> = names
        .into_iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, other)| *likeness >= ALIKE || (!name.is_empty() && other.contains(name)))
        .collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(other.1)));
    found.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
#[path = "nearest_tests.rs"]
mod tests;
