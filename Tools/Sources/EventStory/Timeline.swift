import TerminalText

/// A drawing of the steps of a story for the terminal, with one line for each step and one lane for each service.
///
/// A dot is a successful step, a cross is a failed one, and an arrow leads to the service that receives the event. With
/// three services, lines have at most 100 columns.
public struct Timeline: CustomStringConvertible, Sendable {
    /// A step of a story.
    public struct Step: Sendable {
        /// The time in microseconds since 1970.
        public var time: Int64
        /// The lane of the service, or `nil` if the step belongs to none.
        public var lane: Int?
        /// The lanes of the services that receive the event.
        public var targets: Set<Int> = []
        /// The name of the process or service.
        public var service: String
        /// The action, such as `publish`.
        public var action: String
        /// The subject, such as the topic of an event.
        public var subject = ""
        /// The number of the attempt, or `nil`.
        public var attempt: Int?
        /// The duration in microseconds, or `nil`.
        public var duration: Int64?
        /// The reason why the step failed, or `nil`.
        public var failure: String?

        /// Creates a step.
        public init(
            time: Int64,
            lane: Int?,
            targets: Set<Int> = [],
            service: String,
            action: String,
            subject: String = "",
            attempt: Int? = nil,
            duration: Int64? = nil,
            failure: String? = nil
        ) {
            self.time = time
            self.lane = lane
            self.targets = targets
            self.service = service
            self.action = action
            self.subject = subject
            self.attempt = attempt
            self.duration = duration
            self.failure = failure
        }
    }

    private static let laneDistance = 5
    /// The widths of the columns for three lanes, the least that columns have.
    private static let (lanesWidth, serviceWidth, subjectWidth) = (11, 13, 18)
    /// The most that columns for foreign names have.
    private static let (maximumServiceWidth, maximumSubjectWidth) = (24, 40)

    private let heading: String
    private let lanes: [Character]
    private let steps: [Step]
    private let start: Int64
    private let lanesWidth: Int
    private let serviceWidth: Int
    private let subjectWidth: Int

    /// Creates a drawing.
    ///
    /// - Parameters:
    ///   - heading: The first line.
    ///   - lanes: The letters of the services.
    ///   - steps: The steps, in any order. Those of the same time keep theirs.
    public init(heading: String, lanes: [Character], steps: [Step]) {
        self.heading = heading
        self.lanes = lanes
        self.steps = steps
        start = steps.map(\.time).min() ?? 0
        lanesWidth = max(Self.lanesWidth, (lanes.count - 1) * Self.laneDistance + 1)
        func width(_ texts: [String], _ least: Int, _ most: Int) -> Int {
            min(most, texts.reduce(least) { max($0, $1.cut(toUTF8Length: 4 * most).count) })
        }
        serviceWidth = width(steps.map(\.service), Self.serviceWidth, Self.maximumServiceWidth)
        subjectWidth = width(steps.map(\.subject), Self.subjectWidth, Self.maximumSubjectWidth)
    }

    private var width: Int { 100 + lanesWidth - Self.lanesWidth + subjectWidth - Self.subjectWidth }

    /// The lines.
    public var description: String {
        var titles = [Character](repeating: " ", count: lanesWidth)
        for (lane, letter) in lanes.enumerated() { titles[lane * Self.laneDistance] = letter }
        let columns = row(
            offset: "time",
            lanes: String(titles),
            service: "service",
            action: "what",
            subject: "event",
            attempt: "try",
            duration: "took"
        )
        // The sort is stable, and an explanation stays below its step.
        let sorted = steps.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }
        let lines = [heading, columns] + sorted.flatMap { draw($0.element) }
        return lines.map { cut($0) }.joined(separator: "\n")
    }

    private func draw(_ step: Step) -> [String] {
        let line = row(
            offset: "+" + Self.fixed(step.time - start, unit: 1_000_000, digits: 3) + " s",
            lanes: cells(of: step),
            service: step.service,
            action: step.action,
            subject: step.subject,
            attempt: step.attempt.map(String.init) ?? "",
            duration: step.duration.map(Self.time) ?? "",
            note: step.failure == nil ? "" : "failed"
        )
        guard let failure = step.failure else { return [line] }
        let reason = failure.split(whereSeparator: \.isNewline).first.map(String.init) ?? failure
        return [line, row(offset: "", lanes: cells(), service: "  " + reason)]
    }

    private func cells(of step: Step? = nil) -> String {
        var cells = [Character](repeating: " ", count: lanesWidth)
        for lane in lanes.indices { cells[lane * Self.laneDistance] = "│" }
        guard let step, let own = step.lane else { return String(cells) }
        cells[own * Self.laneDistance] = step.failure == nil ? "●" : "✗"
        for target in step.targets.sorted() where target != own {
            let (from, to) = (own * Self.laneDistance, target * Self.laneDistance)
            for index in min(from, to) + 1..<max(from, to) { cells[index] = cells[index] == "│" ? "┼" : "─" }
            cells[to + (to > from ? -1 : 1)] = to > from ? "▶" : "◀"
        }
        return String(cells)
    }

    private func row(
        offset: String,
        lanes: String,
        service: String,
        action: String = "",
        subject: String = "",
        attempt: String = "",
        duration: String = "",
        note: String = ""
    ) -> String {
        let cells = [
            Self.padded(offset, 11), lanes, Self.padded(service, serviceWidth), Self.padded(action, 8),
            Self.padded(subject, subjectWidth), Self.padded(attempt, 3), Self.padded(duration, 9, isRight: true), note,
        ]
        var line = cells.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }

    /// Returns a duration in microseconds for people to read, such as `3.1 ms`.
    public static func time(_ microseconds: Int64) -> String {
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

    private func cut(_ line: String) -> String {
        // A character of a foreign text may have any number of code points.
        let line = line.cut(toUTF8Length: 4 * width).printable
        return line.count <= width ? line : line.prefix(width - 1) + "…"
    }
}
