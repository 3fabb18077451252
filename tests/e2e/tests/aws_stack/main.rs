//! The whole system on an emulated AWS, from the caller's request to the instance and back.

mod cold;
