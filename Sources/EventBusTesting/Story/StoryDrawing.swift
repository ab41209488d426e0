import EventBus

/// A story as text. Each subscription has a column.
struct StoryDrawing {
    /// The marks of a step by column, its text, and the reason of a failure.
    private typealias Description = (marks: [Int: Character], text: String, reason: String?)

    private static let maximumEventWidth = 36
    private static let maximumTextWidth = 160
    /// The maximum number of subscriptions with a column. Others are named in the lines of their attempts.
    private static let maximumLanes = 20

    private let steps: ArraySlice<StoryLog.Step>
    private let omitted: Int
    private let eventCount: Int
    private let start: AnyClock.Instant
    /// The numbers of the events, in the order of their first step.
    private var numbers: [StoryLog.EventKey: Int] = [:]
    /// The numbers by id alone, for causes, whose topic is not known.
    private var numbersByID: [EventID: Int] = [:]
    private var queues: [String] = []
    /// The queues that have received each event.
    private var receivers: [StoryLog.EventKey: Set<String>] = [:]

    init(_ all: [StoryLog.Step]) {
        steps = all.suffix(EventStory.maximumSteps)
        omitted = all.count - steps.count
        eventCount = Set(all.map(\.event)).count
        start = all.first?.time ?? AnyClock.Instant(offset: .zero)
        for step in steps {
            if numbers[step.event] == nil {
                numbers[step.event] = numbers.count + 1
                numbersByID[step.event.id] = numbersByID[step.event.id] ?? numbers.count
            }
            guard case .attempt(let attempt) = step.kind else { continue }
            receivers[step.event, default: []].insert(attempt.queue)
            if !queues.contains(attempt.queue) { queues.append(attempt.queue) }
        }
    }

    var text: String {
        guard let last = steps.last else { return "no events were recorded" }
        let end = steps.compactMap(\.end).max() ?? last.time
        let duration = start.duration(to: max(end, last.time))
        let counts = Self.count(eventCount, "event") + ", " + Self.count(steps.count + omitted, "step")
        var lines = [counts + ", " + Self.brief(duration)]
        if omitted > 0 { lines.append("(\(omitted) earlier steps are left out)") }
        lines.append(row(time: "time", lanes: header, event: "event", text: ""))
        for step in steps { lines += draw(step) }
        let waiting = numbers.filter { receivers[$0.key] == nil && isWaiting($0.key) }.values.sorted()
        if !waiting.isEmpty {
            let names = waiting.map { "#\($0)" }.joined(separator: ", ")
            lines.append("no attempt to handle \(names) was recorded")
        }
        lines.append("P publishers")
        for (index, queue) in queues.prefix(Self.maximumLanes).enumerated() {
            lines.append("\(Self.label(index)) \(queue)")
        }
        return lines.joined(separator: "\n")
    }

    /// Returns a Boolean value indicating whether a subscription should have received an event.
    private func isWaiting(_ event: StoryLog.EventKey) -> Bool {
        steps.contains { step in
            guard step.event == event, case .publish(let publish) = step.kind else { return false }
            return switch publish.result {
            case .success(.routed), .success(.scheduled): true
            default: false
            }
        }
    }

    // MARK: Steps

    private func draw(_ step: StoryLog.Step) -> [String] {
        let description: Description =
            switch step.kind {
            case .publish(let publish): describe(publish, of: step.event)
            case .attempt(let attempt): describe(attempt, from: step.time)
            }
        let line = row(
            time: "+" + Self.brief(start.duration(to: step.time)),
            lanes: lanes(description.marks),
            event: "#\(numbers[step.event] ?? 0) \(step.event.topic)",
            text: description.text
        )
        guard let reason = description.reason else { return [line] }
        return [line, row(time: "", lanes: lanes([:]), event: "", text: Self.cut(reason))]
    }

    private func describe(_ publish: StoryLog.Publish, of event: StoryLog.EventKey) -> Description {
        var marks: [Int: Character] = [:]
        for queue in receivers[event] ?? [] {
            if let index = queues.firstIndex(of: queue) { marks[index + 1] = "▶" }
        }
        let cause = publish.causationID.flatMap { numbersByID[$0] }.map { " because of #\($0)" } ?? ""
        func result(_ mark: Character, _ text: String, _ reason: String? = nil) -> Description {
            marks[0] = mark
            return (marks: marks, text: text + cause, reason: reason)
        }
        return switch publish.result {
        case nil: result("?", "publish has not ended")
        case .success(.routed): result("●", "published")
        case .success(.unroutable): result("○", "published, but no subscription matches")
        case .success(.scheduled): result("●", "published, due in \(publish.delay.brief)")
        case .success(.held): result("○", "held until the handler returns")
        case .failure(let error): result("✗", "publish failed", error.text)
        }
    }

    private func describe(_ attempt: StoryLog.Attempt, from begin: AnyClock.Instant) -> Description {
        let name = "attempt \(max(1, attempt.number))"
        let time = attempt.end.map { begin.duration(to: $0) } ?? .zero
        let took = time >= .milliseconds(1) ? " after \(time.brief)" : ""
        let index = queues.firstIndex(of: attempt.queue) ?? 0
        let place = index < Self.maximumLanes ? "" : " at \(attempt.queue)"
        func result(_ mark: Character, _ text: String, _ failure: Failure? = nil) -> Description {
            (marks: [index + 1: mark], text: text + place, reason: failure.map { "\($0.errorType): \($0.message)" })
        }
        return switch attempt.disposition {
        case nil where attempt.end == nil: result("?", "\(name) has not ended")
        case nil: result("?", "\(name) has ended\(took), and is not settled")
        case .acknowledged where attempt.isDuplicate: result("○", "dropped as a duplicate")
        case .acknowledged: result("●", "\(name) handled\(took)")
        case .retried(let delay, let failure):
            result("✗", "\(name) failed\(took), the next one in \(Self.brief(delay))", failure)
        case .deferred(let delay, let failure): result("○", "deferred by \(Self.brief(delay))", failure)
        case .deadLettered(let failure):
            result("†", (attempt.hasBegun ? "\(name) failed\(took), " : "") + "dead letter: \(failure.reason)", failure)
        case .requeued: result("○", "returned to the broker")
        }
    }

    // MARK: Lines

    private var laneCount: Int { min(queues.count, Self.maximumLanes) + 1 }

    private var header: String {
        (0..<laneCount).map { $0 == 0 ? "P" : Self.label($0 - 1) }.joined(separator: " ")
    }

    private func lanes(_ marks: [Int: Character]) -> String {
        (0..<laneCount).map { String(marks[$0] ?? " ") }.joined(separator: " ")
    }

    private func row(time: String, lanes: String, event: String, text: String) -> String {
        let width = min(
            Self.maximumEventWidth,
            numbers.map { "#\($0.value) \($0.key.topic)".count }.max() ?? 0
        )
        var line = Self.padded(time, 9) + " " + lanes + "  " + Self.padded(event, width) + "  " + text
        while line.last == " " { line.removeLast() }
        return line
    }

    /// Returns the digit or letter of a subscription.
    private static func label(_ index: Int) -> String {
        String(index + 1, radix: 36).uppercased()
    }

    private static func brief(_ duration: Duration) -> String { duration == .zero ? "0 s" : duration.brief }

    private static func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)" + (number == 1 ? "" : "s")
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text.count > width ? text.prefix(width - 1) + "…" : text + String(repeating: " ", count: width - text.count)
    }

    private static func cut(_ text: String) -> String {
        // By bytes first, because one character may be as long as the text.
        let line = text.prefixed(toUTF8Length: 4 * maximumTextWidth).printable
        return line.count > maximumTextWidth ? line.prefix(maximumTextWidth - 1) + "…" : line
    }
}

extension StoryLog.Step {
    /// The time at which the step ended, if it is known.
    fileprivate var end: AnyClock.Instant? {
        if case .attempt(let attempt) = kind { attempt.end } else { nil }
    }
}
