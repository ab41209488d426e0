import EventStory

/// A story as a timeline for the terminal, with one line for each step and at most 100 columns.
public struct StoryDrawing: CustomStringConvertible {
    private let story: Story

    /// Creates the drawing of a story.
    public init(_ story: Story) {
        self.story = story
    }

    /// The lines.
    public var description: String {
        let duration = Timeline.time(story.duration)
        let spans = story.spans.map { span in
            Timeline.Step(
                time: span.start,
                lane: Self.lane(of: span.kind),
                targets: receivers(of: span),
                service: span.process,
                action: span.labels.action,
                subject: span.labels.subject,
                attempt: span.attempt,
                duration: span.duration,
                failure: span.failure
            )
        }
        let events = story.events.map { event in
            Timeline.Step(
                time: event.time,
                lane: nil,
                service: event.member.replacing("-service", with: ""),
                action: event.kind.rawValue
            )
        }
        return Timeline(
            heading: "order \(story.order): \(spans.count) steps in \(duration), \(story.correlationID)",
            lanes: ["O", "I", "N"],
            steps: spans + events
        ).description
    }

    /// Returns the lanes of the services that process the event of a span.
    private func receivers(of span: Span) -> Set<Int> {
        guard span.isPublishing, let message = span.messageID else { return [] }
        return Set(story.spans.filter { $0.isProcessing && $0.messageID == message }.map { Self.lane(of: $0.kind) })
    }

    private static func lane(of kind: ServiceKind) -> Int {
        ServiceKind.allCases.firstIndex(of: kind) ?? 0
    }
}
