//! The parameters of a call: `Tag.1.Key=…&Tag.1.Value=…`.

use std::collections::BTreeMap;

/// The parameters by name.
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    pub(crate) fn new(parameters: BTreeMap<String, String>) -> Self {
        Self(parameters)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of a list, `name.1`, `name.2` and so on.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|index| self.get(&format!("{name}.{index}"))).collect()
    }

    /// The prefixes of a list of structures that have the field `field`: `name.1.`, `name.2.`.
    pub(crate) fn structures(&self, name: &str, field: &str) -> Vec<String> {
        (1..)
            .map_while(|index| {
                let prefix = format!("{name}.{index}.");
                self.get(&format!("{prefix}{field}")).is_some().then_some(prefix)
            })
            .collect()
    }

    /// Everything but the token in one text, for comparing two calls.
    pub(crate) fn fingerprint(&self) -> String {
        let rest: Vec<_> = self.0.iter().filter(|(name, _)| *name != "ClientToken").collect();
        format!("{rest:?}")
    }
}
