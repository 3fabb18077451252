//! The mock over real connections.

#[cfg(test)]
mod client;
#[cfg(test)]
mod continuation;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod surface;
