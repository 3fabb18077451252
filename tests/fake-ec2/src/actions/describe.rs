use axum::response::Response;
use diogenes_core::Timestamp;
use diogenes_core::fleet::InstanceId;
use diogenes_core::ports::Exit;
use diogenes_core::testing::Shown;

use crate::Instance;
use crate::answer::{ApiError, Xml, success};
use crate::form::Form;
use crate::world::{MAX_PAGE, World, detail};

/// How the API shows an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
}

impl Seen {
    pub(super) fn of(instance: &Instance, now: Timestamp) -> Self {
        match instance.shown(now) {
            Shown::Running => Self::Running,
            Shown::ShuttingDown => Self::ShuttingDown,
            Shown::Hidden | Shown::Terminated => Self::Terminated,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    /// As EC2 writes a state. <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html>
    pub(super) fn write(self, xml: &mut Xml, element: &str) {
        let code = match self {
            Self::Pending => "0",
            Self::Running => "16",
            Self::ShuttingDown => "32",
            Self::Terminated => "48",
        };
        xml.nest(element, |xml| {
            xml.text("code", code);
            xml.text("name", self.name());
        });
    }
}

/// The id of the reservation of an instance: each is launched alone.
pub(super) fn reservation(instance: &Instance) -> String {
    instance.id.as_str().replacen("i-", "r-", 1)
}

/// The fields of an instance that anybody here reads.
pub(super) fn instance(xml: &mut Xml, instance: &Instance, seen: Seen) {
    let details = &instance.details;
    xml.text("instanceId", instance.id.as_str());
    seen.write(xml, "instanceState");
    xml.text("instanceType", instance.rung.label());
    xml.text("launchTime", &instance.launched_at.to_string());
    xml.text("subnetId", &details.subnet);
    xml.text("clientToken", details.client_token.as_deref().unwrap_or_default());
    xml.nest("placement", |xml| {
        xml.text("availabilityZone", detail(&instance.rung, "zone"));
    });
    if detail(&instance.rung, "market") == "spot" {
        xml.text("instanceLifecycle", "spot");
    }
    if let (Seen::ShuttingDown | Seen::Terminated, Some((_, exit))) = (seen, &instance.ended) {
        let (code, text) = match exit {
            Some(Exit::Reclaimed(code)) => (code.as_str(), "taken back"),
            Some(Exit::Code(_) | Exit::Signal(_)) => {
                ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
            }
            None => ("Client.UserInitiatedShutdown", "User initiated shutdown"),
        };
        xml.nest("stateReason", |xml| {
            xml.text("code", code);
            xml.text("message", &format!("{code}: {text}"));
        });
    }
    xml.nest("tagSet", |xml| {
        for (key, value) in &details.tags {
            xml.nest("item", |xml| {
                xml.text("key", key);
                xml.text("value", value);
            });
        }
    });
}

/// Instances that the API shows, in pages that begin after the id in `NextToken`.
pub(super) fn describe_instances(
    world: &World,
    form: &Form,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let ids = form.list("InstanceId");
    for id in &ids {
        find(world, id, now)?;
    }
    let page = match form.get("MaxResults").map(str::parse::<usize>) {
        None => MAX_PAGE,
        Some(_) if !ids.is_empty() => {
            return Err(ApiError::client(
                "InvalidParameterCombination",
                "The parameter instancesSet cannot be used with the parameter maxResults",
            ));
        }
        Some(Ok(page @ 5..=MAX_PAGE)) => page,
        Some(_) => return Err(ApiError::invalid_value("MaxResults must be between 5 and 1000")),
    };
    let page = page.min(world.page_size);
    let filters = filters(form)?;
    let after = form.get("NextToken").map(|token| token.strip_prefix("after-").unwrap_or(token));
    let mut found = world.cloud.instances().filter(|one| {
        one.shown(now) != Shown::Hidden
            && after.is_none_or(|after| one.id.as_str() > after)
            && (ids.is_empty() || ids.contains(&one.id.as_str()))
            && filters.iter().all(|filter| filter.takes(one, now))
    });
    let shown: Vec<_> = found.by_ref().take(page).collect();
    let more = found.next().is_some();
    Ok(success("DescribeInstances", |xml| {
        xml.nest("reservationSet", |xml| {
            for one in &shown {
                xml.nest("item", |xml| {
                    xml.text("reservationId", &reservation(one));
                    xml.nest("instancesSet", |xml| {
                        xml.nest("item", |xml| instance(xml, one, Seen::of(one, now)));
                    });
                });
            }
        });
        if let Some(last) = shown.last().filter(|_| more) {
            xml.text("nextToken", &format!("after-{}", last.id));
        }
    }))
}

/// The instance with this id, unless it is too young to be known or long gone.
pub(super) fn find<'a>(
    world: &'a World,
    id: &str,
    now: Timestamp,
) -> Result<&'a Instance, ApiError> {
    let fits = |id: &str| {
        id.strip_prefix("i-").is_some_and(|hex| {
            matches!(hex.len(), 8 | 17) && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    if !fits(id) {
        let message = format!("Invalid id: \"{id}\"");
        return Err(ApiError::client("InvalidInstanceID.Malformed", message));
    }
    world
        .cloud
        .get(&InstanceId::new(id))
        .filter(|instance| instance.shown(now) != Shown::Hidden)
        .ok_or_else(|| ApiError::no_instance(id))
}

/// One filter: it takes an instance that has any of its values.
struct Filter<'a> {
    by: By<'a>,
    values: Vec<&'a str>,
}

enum By<'a> {
    Tag(&'a str),
    TagKey,
    Id,
    State,
    Token,
}

fn filters(form: &Form) -> Result<Vec<Filter<'_>>, ApiError> {
    form.structures("Filter", "Name")
        .into_iter()
        .map(|prefix| {
            let name = form.get(&format!("{prefix}Name")).unwrap_or_default();
            let by = match name.strip_prefix("tag:") {
                Some(key) => By::Tag(key),
                None => match name {
                    "tag-key" => By::TagKey,
                    "instance-id" => By::Id,
                    "instance-state-name" => By::State,
                    "client-token" => By::Token,
                    other => {
                        let message = format!("The filter '{other}' is invalid");
                        return Err(ApiError::invalid_value(message));
                    }
                },
            };
            Ok(Filter { by, values: form.list(&format!("{prefix}Value")) })
        })
        .collect()
}

impl Filter<'_> {
    fn takes(&self, instance: &Instance, now: Timestamp) -> bool {
        let details = &instance.details;
        let has = |value: &str| self.values.contains(&value);
        match self.by {
            By::Tag(key) => details.tags.get(key).is_some_and(|value| has(value)),
            By::TagKey => details.tags.keys().any(|key| has(key)),
            By::Id => has(instance.id.as_str()),
            By::State => has(Seen::of(instance, now).name()),
            By::Token => details.client_token.as_deref().is_some_and(has),
        }
    }
}

/// The user data of an instance; no other attribute is known.
pub(super) fn describe_attribute(
    world: &World,
    form: &Form,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let id = form.get("InstanceId").ok_or_else(|| ApiError::missing("InstanceId"))?;
    if form.get("Attribute") != Some("userData") {
        return Err(ApiError::invalid_value("only the attribute userData is known here"));
    }
    let instance = find(world, id, now)?;
    Ok(success("DescribeInstanceAttribute", |xml| {
        xml.text("instanceId", id);
        xml.nest("userData", |xml| {
            if let Some(user_data) = &instance.details.user_data {
                xml.text("value", user_data);
            }
        });
    }))
}
