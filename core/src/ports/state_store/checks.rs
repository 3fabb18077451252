use serde_json::Value;

use super::{
    Key, MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_KEY_BYTES, MAX_PAGE, MAX_WRITES, Query, StoreError,
    Write,
};

/// The size that counts against [`MAX_DOCUMENT_BYTES`].
pub fn document_bytes(document: &Value) -> usize {
    document.to_string().len()
}

/// Refuses what every store refuses: no or too many writes, repeated keys, keys that are empty
/// or too long, documents that are too large. Stores call it before anything else.
pub fn check_writes(writes: &[Write]) -> Result<(), StoreError> {
    if writes.is_empty() || writes.len() > MAX_WRITES {
        return Err(StoreError::Invalid {
            reason: format!("a commit takes 1 to {MAX_WRITES} writes, not {}", writes.len()),
        });
    }
    let mut seen = std::collections::HashSet::with_capacity(writes.len());
    for write in writes {
        check_key(write.key())?;
        if !seen.insert((matches!(write, Write::Add { .. }), write.key())) {
            return Err(StoreError::Invalid {
                reason: format!("the commit writes `{}` twice", write.key()),
            });
        }
        if let Write::Put { key, document, index, .. } = write {
            let bytes = document_bytes(document);
            if bytes > MAX_DOCUMENT_BYTES {
                return Err(StoreError::TooLarge { key: key.clone(), bytes });
            }
            if nests_deeper(document, MAX_DEPTH) {
                return Err(StoreError::Invalid {
                    reason: format!("the document at `{key}` nests deeper than {MAX_DEPTH} levels"),
                });
            }
            if let Some(index) = index {
                check_key(&Key::new(&*index.partition, &*index.sort))?;
            }
        }
    }
    Ok(())
}

/// Refuses a key that no store takes: an empty or too long part. Stores call it before a read.
pub fn check_key(key: &Key) -> Result<(), StoreError> {
    for part in [&key.partition, &key.sort] {
        if part.is_empty() || part.len() > MAX_KEY_BYTES {
            return Err(StoreError::Invalid {
                reason: format!("a key part takes 1 to {MAX_KEY_BYTES} bytes: `{key}`"),
            });
        }
    }
    Ok(())
}

/// Refuses a listing that no store takes: a bad partition, no or too many items a page.
pub fn check_query(query: &Query) -> Result<(), StoreError> {
    check_key(&Key::new(&*query.partition, "-"))?;
    if query.limit == 0 || query.limit > MAX_PAGE {
        return Err(StoreError::Invalid {
            reason: format!("a page takes 1 to {MAX_PAGE} items, not {}", query.limit),
        });
    }
    Ok(())
}

/// Whether arrays and objects nest deeper than `levels`.
fn nests_deeper(document: &Value, levels: usize) -> bool {
    match document {
        Value::Array(values) => {
            levels == 0 || values.iter().any(|value| nests_deeper(value, levels - 1))
        }
        Value::Object(fields) => {
            levels == 0 || fields.values().any(|value| nests_deeper(value, levels - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
