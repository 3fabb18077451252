use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;

use super::tests::{World, project};
use super::*;
use crate::testing::WatchedStore;

struct Stand {
    world: World,
    store: Arc<WatchedStore>,
    shelf: PromptShelf,
}

impl Stand {
    /// With two versions of `a`, of which `production` is the first.
    async fn new() -> Self {
        let world = World::new();
        world.push("a", "one").await.unwrap();
        world.push("a", "two").await.unwrap();
        world.label("a", "production", 1).await.unwrap();
        let store = Arc::new(WatchedStore::new(world.store.clone()));
        let shelf = PromptShelf::new(store.clone(), world.clock.clone());
        Self { world, store, shelf }
    }

    async fn find(&self, reference: &str) -> Result<(u32, Option<Duration>), PromptError> {
        let found = self.shelf.find(&project(), &reference.parse().unwrap(), &String::new).await?;
        Ok((found.version.number, found.stale))
    }

    fn reads(&self) -> usize {
        self.store.reads()
    }

    fn pass(&self, duration: Duration) {
        self.world.clock.advance(duration);
    }

    fn goes_away(&self, is_away: bool) {
        self.store.goes_away(is_away);
    }
}

#[test]
fn a_prompt_in_use_is_read_in_the_background_only() {
    block_on(async {
        let it = Stand::new().await;
        assert_eq!(it.find("a").await.unwrap(), (1, None));
        assert_eq!(it.find("a:latest").await.unwrap(), (2, None));
        it.reads();
        for _ in 0..30 {
            it.pass(Duration::from_secs(2));
            it.shelf.refresh().await.unwrap();
            it.reads();
            assert_eq!(it.find("a").await.unwrap(), (1, None));
            assert_eq!(it.find("a:v2").await.unwrap(), (2, None));
            assert_eq!(it.reads(), 0);
        }
    });
}

#[test]
fn what_nobody_asks_for_is_not_read() {
    block_on(async {
        let it = Stand::new().await;
        it.find("a").await.unwrap();
        it.pass(Duration::from_mins(6));
        it.reads();
        it.shelf.refresh().await.unwrap();
        assert_eq!(it.reads(), 0);
    });
}

#[test]
fn a_moved_label_is_followed_within_five_seconds() {
    block_on(async {
        let it = Stand::new().await;
        assert_eq!(it.find("a").await.unwrap(), (1, None));
        it.world.label("a", "production", 2).await.unwrap();
        it.pass(MOST_LAG);
        assert_eq!(it.find("a").await.unwrap(), (2, None));
        // And at once, where somebody tells.
        it.world.label("a", "production", 1).await.unwrap();
        it.shelf.changed(&project(), &"a".parse().unwrap());
        assert_eq!(it.find("a").await.unwrap(), (1, None));
    });
}

#[test]
fn the_last_known_version_is_served_for_a_day() {
    block_on(async {
        let it = Stand::new().await;
        assert_eq!(it.find("a").await.unwrap(), (1, None));
        it.goes_away(true);
        it.pass(Duration::from_mins(1));
        assert_eq!(it.find("a").await.unwrap(), (1, Some(Duration::from_mins(1))));
        // A herd does not ask a store that is away.
        it.reads();
        it.find("a").await.unwrap();
        assert_eq!(it.reads(), 0);
        // A version that was never read is not known.
        assert!(matches!(it.find("a:v2").await, Err(PromptError::Store(_))));
        for _ in 0..23 {
            it.pass(Duration::from_hours(1));
            assert!(it.shelf.refresh().await.is_err() || it.find("a").await.is_ok());
        }
        assert!(it.find("a").await.unwrap().1.is_some());
        it.pass(Duration::from_hours(1));
        assert!(matches!(it.find("a").await, Err(PromptError::Store(_))));
        it.goes_away(false);
        it.pass(Duration::from_secs(2));
        assert_eq!(it.find("a").await.unwrap(), (1, None));
    });
}

#[test]
fn what_is_gone_or_archived_is_not_served_from_memory() {
    block_on(async {
        let it = Stand::new().await;
        it.find("a").await.unwrap();
        it.world.update("a", PromptStatus::Archived).await.unwrap();
        it.pass(Duration::from_secs(10));
        assert!(matches!(it.find("a").await, Err(PromptError::Archived(_))));
        let by = crate::tenancy::Allowed::operator();
        it.world.prompts.delete(&by, &project(), "a").await.unwrap();
        it.pass(Duration::from_secs(10));
        assert!(matches!(it.find("a").await, Err(PromptError::NotFound(_))));
        // A later prompt of the same name has nothing of the one before.
        it.world.push("a", "three").await.unwrap();
        it.pass(Duration::from_secs(10));
        let found =
            it.shelf.find(&project(), &"a:v1".parse().unwrap(), &String::new).await.unwrap();
        assert_eq!(found.version.content.messages[0].content, "three");
    });
}

#[test]
fn what_is_not_there_is_told_with_the_next_step() {
    block_on(async {
        let it = Stand::new().await;
        for (reference, text) in [
            ("b", "prompt `b` does not exist; list the prompts with `diogenes prompt list`"),
            ("a:v3", "prompt `a` has no version 3; its newest is v2"),
            ("a:staging", "prompt `a` has no label `staging`; set it with"),
        ] {
            let error = it.find(reference).await.unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    });
}
