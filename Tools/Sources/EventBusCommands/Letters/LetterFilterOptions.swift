import ArgumentParser
import EventBus

/// The options that select dead letters.
struct LetterFilterOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only these events. May be repeated.", valueName: "event-id"))
    var id: [String] = []

    @Option(help: ArgumentHelp("Only topics that match, such as order.#.", valueName: "pattern"))
    var topic: String?

    @Option(help: ArgumentHelp("Only those from a queue, GROUP.NAME.", valueName: "queue"))
    var queue: String?

    @Option(help: ArgumentHelp("Only these reasons, such as attempts_exhausted. May be repeated.", valueName: "reason"))
    var reason: [String] = []

    @Option(help: ArgumentHelp("Only errors whose type or text contains this.", valueName: "text"))
    var error: String?

    @Option(help: ArgumentHelp("Only those that failed since then: 90s, 15m, 2h, 3d, or a time.", valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("Only those that failed before then, in the same forms.", valueName: "time"))
    var before: String?

    @Option(help: ArgumentHelp("Only events with this correlation id.", valueName: "id"))
    var correlation: String?

    @Option(
        name: .customLong("where"),
        help: ArgumentHelp(
            "Only those for which this holds: 'payload.total > 100', 'payload.lines.0.sku = A-7', 'header.tenant != acme'. "
                + "Compares with =, !=, <, <=, >, >= and ~ (contains). May be repeated.",
            valueName: "condition"
        )
    )
    var conditions: [String] = []

    /// Returns the filter.
    func filter() throws -> LetterFilter {
        var filter = LetterFilter(
            ids: Set(id),
            queue: queue,
            reasons: Set(reason),
            error: error,
            correlationID: correlation
        )
        if let topic {
            do {
                filter.topic = try TopicPattern(validating: topic)
            } catch {
                throw ValidationError("--topic is no pattern: \(error.message)")
            }
        }
        filter.since = try Self.time(since, "--since")
        filter.before = try Self.time(before, "--before")
        filter.conditions = try conditions.map { text in
            guard let condition = LetterCondition(text) else {
                throw ValidationError(
                    "--where takes conditions such as 'payload.total > 100' or 'header.tenant = acme', not '\(text)'."
                )
            }
            return condition
        }
        return filter
    }

    func validate() throws {
        _ = try filter()
    }

    private static func time(_ text: String?, _ option: String) throws -> EventTime? {
        guard let text else { return nil }
        guard let time = Age.time(text) else {
            throw ValidationError(
                "\(option) takes 90s, 15m, 2h, 3d, or a time such as 2026-01-31T12:00:00Z, not '\(text)'."
            )
        }
        return time
    }
}
