//! How the runtime that was last seen is restarted: asked once for each process.

use node_runtime::process::Start;

use super::restart::Way;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Ways {
    last: Option<(Start, Way)>,
}

impl Ways {
    /// Asks, unless there is a way for this very process already: that does not change while it runs,
    /// and why there is none may. An error says why there is none.
    pub(super) async fn of(
        &mut self,
        process: &Start,
        ask: impl Future<Output = Way>,
    ) -> Result<(), String> {
        let known = self.last.as_ref().filter(|(of, _)| of == process);
        if let Some((_, Way::By(_))) = known {
            return Ok(());
        }
        let (_, way) = self.last.insert((process.clone(), ask.await));
        way.is_there()
    }

    /// The last one. It is not asked for again when the runtime is down.
    pub(super) fn last(&self) -> Option<&Way> {
        self.last.as_ref().map(|(_, way)| way)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use node_runtime::restart::Restarter;

    use super::*;

    fn process(pid: u32, ticks: u64) -> Start {
        Start {
            boot_id: "b".to_owned(),
            pid,
            ticks,
        }
    }

    fn none() -> Way {
        Way::None("it has no unit".to_owned())
    }

    #[tokio::test]
    async fn it_is_asked_once_for_each_process_and_again_where_there_was_no_way() {
        let asked = Cell::new(0);
        let says = |way: Way| {
            let asked = &asked;
            async move {
                asked.set(asked.get() + 1);
                way
            }
        };
        let mut ways = Ways::default();
        assert!(ways.last().is_none());
        let one = process(7, 1);
        for times in 1..=2 {
            let why = ways.of(&one, says(none())).await;
            assert_eq!(why, Err("it has no unit".to_owned()));
            assert_eq!(asked.get(), times);
        }
        for _ in 0..3 {
            let way = ways.of(&one, says(Way::By(Restarter::Never))).await;
            assert_eq!((way, asked.get()), (Ok(()), 3));
        }
        // Another process with the same id.
        let other = process(7, 2);
        let why = ways.of(&other, says(none())).await;
        assert_eq!((why.is_err(), asked.get()), (true, 4));
        assert!(matches!(ways.last(), Some(Way::None(_))));
    }
}
