use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::ModelName;

/// A target of a route: the name of a model, or a table with it that says more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTarget {
    /// A name or alias of a model, or a model of a provider.
    pub model: ModelName,
    /// Its share of the requests where the strategy is `weighted`.
    pub weight: u32,
    /// How good its answers are where the strategy is `quality`; more is better.
    pub quality: u32,
}

impl RouteTarget {
    /// The largest weight, and the best quality.
    pub const MAX_RANK: u32 = 1_000_000;
    const DEFAULT_WEIGHT: u32 = 1;
    const DEFAULT_QUALITY: u32 = 0;

    fn is_plain(&self) -> bool {
        (self.weight, self.quality) == (Self::DEFAULT_WEIGHT, Self::DEFAULT_QUALITY)
    }
}

impl From<ModelName> for RouteTarget {
    fn from(model: ModelName) -> Self {
        Self { model, weight: Self::DEFAULT_WEIGHT, quality: Self::DEFAULT_QUALITY }
    }
}

impl Serialize for RouteTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_plain() {
            return self.model.serialize(serializer);
        }
        let mut table = serializer.serialize_struct("RouteTarget", 3)?;
        table.serialize_field("model", &self.model)?;
        table.serialize_field("weight", &self.weight)?;
        table.serialize_field("quality", &self.quality)?;
        table.end()
    }
}

// By hand, as an untagged enum would not say what is wrong.
impl<'de> Deserialize<'de> for RouteTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            model: ModelName,
            #[serde(default = "default_weight")]
            weight: u32,
            #[serde(default)]
            quality: u32,
        }
        fn default_weight() -> u32 {
            RouteTarget::DEFAULT_WEIGHT
        }
        struct NameOrTable;
        impl<'de> Visitor<'de> for NameOrTable {
            type Value = RouteTarget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a model, or a table with `model`, `weight` and `quality`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<RouteTarget, E> {
                name.parse::<ModelName>().map(RouteTarget::from).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RouteTarget, A::Error> {
                let table = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let Table { model, weight, quality } = table;
                Ok(RouteTarget { model, weight, quality })
            }
        }
        deserializer.deserialize_any(NameOrTable)
    }
}

/// The schema of the targets of a route.
#[cfg(feature = "openapi")]
pub(super) fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::schema::{
        AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Type,
    };

    let object = ObjectBuilder::new;
    let name = || object().schema_type(Type::String);
    let rank = |description| {
        object()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(RouteTarget::MAX_RANK))
            .description(Some(description))
    };
    let table = object()
        .schema_type(Type::Object)
        .property("model", name())
        .required("model")
        .property("weight", rank("Its share where the strategy is `weighted`; 1 when absent."))
        .property(
            "quality",
            rank("More is better, where the strategy is `quality`; 0 when absent."),
        )
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let target = OneOfBuilder::new().item(name()).item(table);
    ArrayBuilder::new()
        .items(target)
        .min_items(Some(1))
        .max_items(Some(super::RouteSpec::MAX_TARGETS))
        .description(Some(
            "Who may answer, the first choice first: names of models, or tables that say more.",
        ))
        .into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_target_is_a_name_or_a_table_and_stays_what_it_was() {
        for text in [json!("big"), json!({"model": "big", "weight": 3, "quality": 7})] {
            let target: RouteTarget = serde_json::from_value(text.clone()).unwrap();
            assert_eq!(target.model.as_str(), "big");
            assert_eq!(serde_json::to_value(target).unwrap(), text);
        }
        let target: RouteTarget = serde_json::from_value(json!({"model": "big"})).unwrap();
        assert_eq!((target.weight, target.quality), (1, 0));
        for (bad, part) in [
            (json!(7), "the name of a model, or a table"),
            (json!({"weight": 1}), "missing field `model`"),
            (json!({"model": "a", "wieght": 1}), "unknown field `wieght`"),
            (json!({"model": "a", "weight": -1}), "integer"),
            (json!(""), "name"),
        ] {
            let error = serde_json::from_value::<RouteTarget>(bad).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
