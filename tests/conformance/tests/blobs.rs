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
    use diogenes_core::ports::{BlobError, BlobKey, Blobs};

    async fn folder() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let blobs = ObjectBlobs::in_folder(&folder.path().join("blobs"), 0).unwrap();
        Fixture::new(Arc::new(blobs)).keeping(folder)
    }

    diogenes_conformance::blobs_suite!(folder);

    /// What else is on the disk keeps its room.
    #[tokio::test]
    async fn nothing_is_written_into_the_room_that_is_kept_free() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = ObjectBlobs::in_folder(folder.path(), u64::MAX).unwrap();
        let key = BlobKey::new("a/b").unwrap();
        let refused = [
            blobs.put(&key, b"x".to_vec(), false).await.unwrap_err(),
            blobs.writer(&key).await.err().unwrap(),
        ];
        for error in refused {
            assert!(matches!(error, BlobError::NoRoom { .. }), "{error}");
        }
        assert_eq!(blobs.list(&BlobKey::new("a").unwrap()).await.unwrap(), []);
    }
}
