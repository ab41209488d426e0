import EventBus
import EventStory

/// The history of everything with one correlation id, across services.
struct Story: Sendable {
    /// A step of a story, as a line of the output for programs.
    struct Line: Encodable {
        var time: String
        var service: String
        var action: String
        var subject: String
        var event: String?
        var attempt: Int?
        var milliseconds: Double?
        var failure: String?
    }

    /// A step whose service has no lane yet.
    private struct Step {
        var time: Int64
        var service: String?
        var action: String
        var subject: String
        var event: String?
        var attempt: Int?
        var duration: Int64?
        var failure: String?
        /// A Boolean value indicating whether the event reaches other services from here.
        var isSource = false
        var isReceipt = false
    }

    /// The maximum number of lanes. The steps of further services are drawn without one.
    private static let maximumLanes = 12

    let correlationID: String
    private let steps: [Step]

    /// Creates a story. An event or a dead letter may be recorded several times.
    init(correlationID: String, records: [StoryRecord]) {
        self.correlationID = correlationID
        var spans: [SpanRecord] = []
        var events: [String: Envelope] = [:]
        var letters: Set<String> = []
        var steps: [Step] = []
        for record in records {
            switch record {
            case .span(let span): spans.append(span)
            case .event(let envelope): events[envelope.id.rawValue] = envelope
            case .letter(let letter):
                events[letter.envelope.id.rawValue] = letter.envelope
                let identity = "\(letter.queue) \(letter.lastFailure) \(letter.envelope.id)"
                if letters.insert(identity).inserted { steps.append(Self.step(letter)) }
            case .log(let log): steps.append(Self.step(log))
            }
        }
        steps += spans.map(Self.step)
        // A published event that a span tells of is not told twice.
        let published = Set(spans.filter(\.isPublishing).compactMap(\.messageID))
        steps += events.filter { !published.contains($0.key) }.values.map(Self.step)
        // Long work is told before the work within it.
        self.steps = steps.sorted { ($0.time, -($0.duration ?? 0)) < ($1.time, -($1.duration ?? 0)) }
    }

    /// A Boolean value indicating whether nothing is known of the story.
    var isEmpty: Bool { steps.isEmpty }

    /// The steps for programs.
    var lines: [Line] {
        steps.map { step in
            Line(
                time: EventTime(milliseconds: step.time / 1000).rfc3339,
                service: step.service ?? "",
                action: step.action,
                subject: step.subject,
                event: step.event,
                attempt: step.attempt,
                milliseconds: step.duration.map { Double($0) / 1000 },
                failure: step.failure
            )
        }
    }

    /// The drawing for people.
    var drawing: Timeline {
        var lanes: [String: Int] = [:]
        for case let service? in steps.map(\.service) where lanes.count < Self.maximumLanes && lanes[service] == nil {
            lanes[service] = lanes.count
        }
        let receipts = Dictionary(grouping: steps.filter(\.isReceipt)) { $0.event }
        let drawn = steps.map { step in
            let receivers = step.isSource && step.event != nil ? receipts[step.event] ?? [] : []
            return Timeline.Step(
                time: step.time,
                lane: step.service.flatMap { lanes[$0] },
                targets: Set(receivers.compactMap { $0.service.flatMap { lanes[$0] } }),
                service: step.service ?? "",
                action: step.action,
                subject: step.subject,
                attempt: step.attempt,
                duration: step.duration,
                failure: step.failure
            )
        }
        let end = steps.map { $0.time + ($0.duration ?? 0) }.max() ?? 0
        let duration = Timeline.time(end - (steps.first?.time ?? end))
        let letters = lanes.sorted { $0.value < $1.value }.map { $0.key.uppercased().first ?? "?" }
        return Timeline(
            heading: "\(correlationID): \(steps.count) steps in \(duration)",
            lanes: letters,
            steps: drawn
        )
    }

    private static func step(_ span: SpanRecord) -> Step {
        Step(
            time: span.start,
            service: span.service,
            action: span.labels.action,
            subject: span.labels.subject,
            event: span.messageID,
            attempt: span.attempt,
            duration: span.duration,
            failure: span.failure,
            isSource: span.isPublishing,
            isReceipt: span.isProcessing
        )
    }

    private static func step(_ envelope: Envelope) -> Step {
        Step(
            time: envelope.time.microseconds,
            service: envelope.source,
            action: "publish",
            subject: envelope.topic.rawValue,
            event: envelope.id.rawValue,
            isSource: true
        )
    }

    private static func step(_ letter: DeadLetter) -> Step {
        let failure = letter.failure
        return Step(
            time: letter.lastFailure.microseconds,
            service: letter.group,
            action: "give up",
            subject: letter.envelope.topic.rawValue,
            event: letter.envelope.id.rawValue,
            attempt: letter.attempts,
            failure: failure.reason.rawValue + (failure.message.isEmpty ? "" : ": \(failure.message)"),
            isReceipt: true
        )
    }

    private static func step(_ log: LogRecord) -> Step {
        Step(
            time: log.time,
            service: log.service,
            action: log.level,
            subject: log.message,
            failure: log.isFailure ? log.error ?? log.message : nil
        )
    }
}

extension EventTime {
    /// The microseconds since 1970, at most those of the year 9999 if a foreign clock is wrong.
    fileprivate var microseconds: Int64 { min(max(milliseconds, 0), 253_402_300_799_999) * 1000 }
}
