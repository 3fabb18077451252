use crate::fleet::Model;
use crate::name::ModelName;
use crate::ports::{Expect, IndexKey, Write};

/// Makes the record of a model unreadable; it is still listed.
pub fn unreadable_model(name: &ModelName) -> Write {
    Write::Put {
        key: Model::key_of(name),
        document: serde_json::json!({"name": 7}),
        index: Some(IndexKey { partition: "MODELS".into(), sort: name.to_string() }),
        expires_at: None,
        expect: Expect::Any,
    }
}
