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
mod tests {
    use super::nearest;

    #[test]
    fn most_similar_names_come_first() {
        let names = ["name", "email", "phone", "parent_id", "partner_share"];
        assert_eq!(nearest("emial", names), ["email"]);
        assert_eq!(nearest("parner_id", names), ["parent_id", "partner_share"]);
        assert_eq!(nearest("share", names), ["partner_share"]);
        assert_eq!(nearest("zzz", names), [""; 0]);
        assert_eq!(nearest("", names), [""; 0]);
    }
}
