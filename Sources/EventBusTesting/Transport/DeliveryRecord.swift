import EventBus

/// The events that a handler of a check has received.
final class DeliveryRecord: Sendable {
    struct Entry: Sendable {
        var envelope: Envelope
        var attempt: Int
        var time: AnyClock.Instant

        var text: String { String(decoding: envelope.payload, as: UTF8.self) }
    }

    private let entries = Locked<[Entry]>([])

    var all: [Entry] { entries.withLock { $0 } }
    var count: Int { entries.withLock { $0.count } }
    var texts: [String] { all.map(\.text) }
    var numbers: [Int] { all.compactMap { Int($0.text) } }

    func note(_ envelope: Envelope, attempt: Int = 1, at time: AnyClock.Instant = AnyClock.Instant(offset: .zero)) {
        entries.withLock { $0.append(Entry(envelope: envelope, attempt: attempt, time: time)) }
    }

    /// Waits until there are at least `count` events.
    func wait(for count: Int, within limit: Duration = .seconds(20), file: String = #fileID, line: Int = #line)
        async throws
    {
        try await eventually(
            "\(count) handled, but \(self.count)",
            within: limit,
            file: file,
            line: line
        ) { self.count >= count }
    }
}
