//! Every store keeps the promises of the trait, and the embedded one keeps them when killed.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod moving;
#[cfg(test)]
#[cfg(all(unix, feature = "postgres"))]
mod postgres;
#[cfg(test)]
#[cfg(all(unix, feature = "redis"))]
mod redis;
#[cfg(test)]
mod reopen;

#[cfg(test)]
mod memory {
    use std::sync::Arc;

    use entrada::store::{MemoryStore, Store};

    async fn empty_store() -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    entrada::store_conformance!(empty_store);
}

#[cfg(test)]
mod embedded {
    use std::sync::Arc;

    use entrada::store::{EmbeddedStore, Store};

    /// The file outlives its folder, which goes at once.
    async fn empty_store() -> Arc<dyn Store> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        Arc::new(EmbeddedStore::open(path).unwrap())
    }

    entrada::store_conformance!(empty_store);
}
