//! Resolves host names with the system's resolver.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;

/// A failed name lookup. The client recognizes it among the causes of a failed exchange.
#[derive(Debug, thiserror::Error)]
#[error("name lookup failed")]
pub(super) struct LookupError(#[source] io::Error);

/// The system's resolver. It blocks, so tokio runs it on a thread of its pool.
///
/// A cancelled exchange does not wait for the lookup. [`super::Http`] shuts its runtime down in the
/// background, and the thread ends when the system's resolver returns.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // reqwest replaces port 0 with the port of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(LookupError)?;
            let addresses: Addrs = Box::new(found.collect::<Vec<_>>().into_iter());
            Ok(addresses)
        })
    }
}
