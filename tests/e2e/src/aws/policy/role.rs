use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::aws::lambda::{Resolver, Values};

use super::fits;
use super::request::{LEADING_KEYS, Request};
use super::statement::{Effect, Statement, covers_action};

/// The roles of a template, and whose they are.
#[derive(Clone, Debug)]
pub struct Roles {
    statements: BTreeMap<String, Vec<Statement>>,
    /// The role of each function, by the function's logical id.
    pub of_functions: BTreeMap<String, String>,
}

/// The smallest piece of what a role may do: one action on one resource, with one pattern of
/// leading keys where the statement has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The statement.
    pub sid: String,
    pub action: String,
    /// The resource.
    pub resource: String,
    /// The pattern.
    pub leading_key: Option<String>,
}

impl Roles {
    /// Reads every role of a template, with the policies that other resources add to it.
    ///
    /// # Panics
    /// If a policy is not understood.
    pub fn read(path: &Path, values: &Values) -> Self {
        let text = std::fs::read_to_string(path).expect("a template");
        let template: Value = serde_saphyr::from_str(&text).expect("YAML");
        let resolver = Resolver::new(&template, values);
        let mut roles = Self { statements: BTreeMap::new(), of_functions: BTreeMap::new() };
        let resources = template["Resources"].as_object().expect("resources");
        for (id, resource) in resources {
            let place = format!("Resources.{id}");
            let properties = &resource["Properties"];
            let (role, policies) = match resource["Type"].as_str() {
                Some("AWS::IAM::Role") => {
                    let policies = properties["Policies"].as_array().cloned().unwrap_or_default();
                    (id.clone(), policies)
                }
                Some("AWS::IAM::RolePolicy") => {
                    let role = properties["RoleName"]["Ref"].as_str().expect("a role").to_owned();
                    (role, vec![properties.clone()])
                }
                Some("AWS::Serverless::Function") => {
                    let role = properties["Role"]["Fn::GetAtt"][0].as_str();
                    let role = role.unwrap_or_else(|| panic!("`{id}` has no role of its own"));
                    roles.of_functions.insert(id.clone(), role.to_owned());
                    continue;
                }
                _ => continue,
            };
            let of_role = roles.statements.entry(role).or_default();
            for policy in policies {
                let statements = policy["PolicyDocument"]["Statement"].as_array();
                for statement in statements.expect("a list of statements") {
                    let plain = resolver.resolve(statement, &place);
                    let plain = plain.unwrap_or_else(|error| panic!("{error}"));
                    of_role.push(Statement::read(&plain.unwrap_or_default()));
                }
            }
        }
        roles
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.statements.keys().map(String::as_str)
    }

    /// The statements of a role.
    ///
    /// # Panics
    /// If there is no such role.
    pub fn statements(&self, role: &str) -> &[Statement] {
        self.statements.get(role).unwrap_or_else(|| panic!("there is no role `{role}`"))
    }

    /// Whether a role may do this: some statement grants it and none takes it away.
    pub fn allow(&self, role: &str, request: &Request) -> bool {
        let says = |effect| {
            let statements = self.statements(role).iter();
            statements.filter(|each| each.effect == effect).any(|each| each.covers(request))
        };
        says(Effect::Allow) && !says(Effect::Deny)
    }

    /// Everything that a role is granted and that none of these calls makes use of.
    pub fn unused(&self, role: &str, requests: &[Request]) -> Vec<Grant> {
        let granting = self.statements(role).iter().filter(|each| each.effect == Effect::Allow);
        let grants = granting.flat_map(|statement| {
            let covered: Vec<&Request> =
                requests.iter().filter(|request| statement.covers(request)).collect();
            let mut grants = statement.grants();
            grants.retain(|grant| !covered.iter().any(|request| grant.is_used_by(request)));
            grants
        });
        grants.collect()
    }
}

impl Statement {
    fn grants(&self) -> Vec<Grant> {
        let keys = self.conditions.iter().filter(|condition| condition.key == LEADING_KEYS);
        let mut keys: Vec<Option<String>> =
            keys.flat_map(|condition| condition.values.iter().cloned().map(Some)).collect();
        if keys.is_empty() {
            keys.push(None);
        }
        let mut grants = Vec::new();
        for action in &self.actions {
            for resource in &self.resources {
                for leading_key in &keys {
                    grants.push(Grant {
                        sid: self.sid.clone(),
                        action: action.clone(),
                        resource: resource.clone(),
                        leading_key: leading_key.clone(),
                    });
                }
            }
        }
        grants
    }
}

impl Grant {
    /// Whether this call, which its statement covers, needs it.
    fn is_used_by(&self, request: &Request) -> bool {
        let keys = request.context.get(LEADING_KEYS);
        covers_action(&self.action, &request.action)
            && fits(&self.resource, &request.resource)
            && self
                .leading_key
                .as_ref()
                .is_none_or(|pattern| keys.into_iter().flatten().any(|key| fits(pattern, key)))
    }
}
