use sansip::{Answer, Cx, Question, Reply, Request, Service, Source};

/// A service that answers OPTIONS with 200, and keeps what it was asked.
#[derive(Debug, Default)]
pub struct Recorder {
    /// The requests and where they came from, in order.
    pub asked: Vec<(Request, Source)>,
}

impl Service for Recorder {
    fn options(&mut self, _: &mut Cx<'_>, question: Question<Reply>) -> Answer<Reply> {
        self.asked.push((question.request.clone(), question.facts.source.clone()));
        question.answer(Reply::ok())
    }
}
