//! The blobs: in memory, and in a folder.
#![expect(clippy::unwrap_used, reason = "the fixture of a test")]

mod memory {
    use std::sync::Arc;

    use diogenes_conformance::blobs::Fixture;
    use diogenes_core::testing::MemoryBlobs;

    async fn memory() -> Fixture {
        Fixture::new(Arc::new(MemoryBlobs::default()))
    }

    diogenes_conformance::blobs_suite!(memory);
}

mod folder {
    use std::sync::Arc;

    use diogenes_backends::blobs::ObjectBlobs;
    use diogenes_conformance::blobs::Fixture;

    async fn folder() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let blobs = ObjectBlobs::in_folder(&folder.path().join("blobs")).unwrap();
        Fixture::new(Arc::new(blobs)).keeping(folder)
    }

    diogenes_conformance::blobs_suite!(folder);
}
