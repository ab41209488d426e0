import TerminalText

/// A story as a timeline for the terminal, with one line for each step and at most 100 columns.
///
/// A dot is a successful step, a cross is a failed one, and an arrow leads to the service that receives the event.
public struct StoryDrawing: CustomStringConvertible {
    private static let width = 100
    private static let laneDistance = 5

    private let story: Story

    /// Creates the drawing of a story.
    public init(_ story: Story) {
        self.story = story
    }

    /// The lines.
    public var description: String {
        let steps = story.spans.count
        let heading = "order \(story.order): \(steps) steps in \(Self.time(story.duration)), \(story.correlationID)"
        let columns = row(
            offset: "time",
            lanes: "O    I    N",
            service: "service",
            what: "what",
            subject: "event",
            attempt: "try",
            duration: "took"
        )
        var lines: [(time: Int64, text: String)] = story.spans.flatMap { span in
            draw(span).map { (span.start, $0) }
        }
        lines += story.events.map { event in
            let text = row(
                offset: offset(event.time),
                lanes: lanes { _ in "│" },
                service: event.member.replacing("-service", with: ""),
                what: event.kind.rawValue
            )
            return (event.time, text)
        }
        // The sort is stable, so an explanation stays below its step.
        let sorted = lines.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }
        return ([heading, columns] + sorted.map(\.element.text)).map(Self.cut).joined(separator: "\n")
    }

    private func draw(_ span: Span) -> [String] {
        let (what, subject) = Self.labels(of: span)
        let line = row(
            offset: offset(span.start),
            lanes: lanes(of: span),
            service: span.process,
            what: what,
            subject: subject,
            attempt: span.attempt.map(String.init) ?? "",
            duration: Self.time(span.duration),
            note: span.failure == nil ? "" : "failed"
        )
        guard let failure = span.failure else { return [line] }
        let reason = failure.split(whereSeparator: \.isNewline).first.map(String.init) ?? failure
        return [line, row(offset: "", lanes: lanes { _ in "│" }, service: "  " + reason)]
    }

    private static func labels(of span: Span) -> (what: String, subject: String) {
        if span.isProcessing { return ("process", span.topic ?? span.name) }
        if span.isPublishing { return ("publish", span.topic ?? span.name) }
        let words = span.name.split(separator: " ", maxSplits: 1).map(String.init)
        return (words.first ?? "", words.dropFirst().first ?? "")
    }

    private func lanes(of span: Span) -> String {
        let own = Self.lane(of: span.kind)
        let mark: Character = span.failure == nil ? "●" : "✗"
        var targets: Set<Int> = []
        if span.isPublishing, let message = span.messageID {
            targets = Set(
                story.spans.filter { $0.isProcessing && $0.messageID == message }.map { Self.lane(of: $0.kind) }
            )
        }
        return lanes {
            $0 == own ? mark : "│"
        } and: { cells in
            for target in targets.sorted() where target != own {
                let (from, to) = (own * Self.laneDistance, target * Self.laneDistance)
                for index in min(from, to) + 1..<max(from, to) { cells[index] = cells[index] == "│" ? "┼" : "─" }
                cells[to + (to > from ? -1 : 1)] = to > from ? "▶" : "◀"
            }
        }
    }

    private func lanes(
        _ mark: (Int) -> Character,
        and change: (inout [Character]) -> Void = { _ in }
    ) -> String {
        let count = ServiceKind.allCases.count
        var cells = [Character](repeating: " ", count: (count - 1) * Self.laneDistance + 1)
        for lane in 0..<count { cells[lane * Self.laneDistance] = mark(lane) }
        change(&cells)
        return String(cells)
    }

    private static func lane(of kind: ServiceKind) -> Int {
        ServiceKind.allCases.firstIndex(of: kind) ?? 0
    }

    private func row(
        offset: String,
        lanes: String,
        service: String,
        what: String = "",
        subject: String = "",
        attempt: String = "",
        duration: String = "",
        note: String = ""
    ) -> String {
        let cells = [
            Self.padded(offset, 11), Self.padded(lanes, 11), Self.padded(service, 13), Self.padded(what, 8),
            Self.padded(subject, 18), Self.padded(attempt, 3), Self.padded(duration, 9, isRight: true), note,
        ]
        var line = cells.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }

    private func offset(_ time: Int64) -> String {
        "+" + Self.fixed(time - (story.spans.first?.start ?? time), unit: 1_000_000, digits: 3) + " s"
    }

    private static func time(_ microseconds: Int64) -> String {
        microseconds < 1_000_000
            ? fixed(microseconds, unit: 1_000, digits: 1) + " ms"
            : fixed(microseconds, unit: 1_000_000, digits: 2) + " s"
    }

    /// Returns a number of microseconds in a larger unit, truncated to some digits.
    private static func fixed(_ microseconds: Int64, unit: Int64, digits: Int) -> String {
        let fraction = String(unit + microseconds % unit).dropFirst().prefix(digits)
        return "\(microseconds / unit).\(fraction)"
    }

    private static func padded(_ text: String, _ width: Int, isRight: Bool = false) -> String {
        let padding = String(repeating: " ", count: max(0, width - text.count))
        return isRight ? padding + text : text + padding
    }

    private static func cut(_ line: String) -> String {
        // A character of a foreign text may have any number of code points.
        let line = line.cut(toUTF8Length: 4 * width).printable
        return line.count <= width ? line : line.prefix(width - 1) + "…"
    }
}
