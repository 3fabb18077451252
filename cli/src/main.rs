//! diogenes
fn main() {}
