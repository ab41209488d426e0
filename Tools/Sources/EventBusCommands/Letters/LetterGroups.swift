import EventBus

/// The counts of dead letters that failed for the same reason.
struct LetterGroups: Sendable {
    /// The features that the dead letters of one group share.
    struct Key: Hashable, Sendable {
        var group: String
        var topic: String
        var reason: String
        var errorType: String
        /// The error's text with `#` in place of numbers and identifiers.
        var error: String
    }

    /// The count of a group, and the times of its oldest and newest failure.
    struct Tally: Hashable, Sendable {
        var count: Int
        var oldest: EventTime
        var newest: EventTime
        /// The event that failed last.
        var example: EventID
    }

    /// The maximum number of groups. Further dead letters are counted together, so that texts that are all different
    /// exhaust no memory.
    static let maximum = 10_000
    private static let maximumErrorLength = 160

    private(set) var tallies: [Key: Tally] = [:]
    private(set) var total = 0

    /// Counts a dead letter.
    mutating func add(_ letter: DeadLetter) {
        total += 1
        var key = Key(
            group: letter.group,
            topic: letter.envelope.topic.rawValue,
            reason: letter.failure.reason.rawValue,
            errorType: letter.failure.errorType,
            error: Self.shape(of: letter.failure.message)
        )
        if tallies.count >= Self.maximum, tallies[key] == nil {
            key = Key(group: letter.group, topic: "", reason: "", errorType: "", error: "others")
        }
        var tally =
            tallies[key]
            ?? Tally(count: 0, oldest: letter.lastFailure, newest: letter.lastFailure, example: letter.envelope.id)
        tally.count += 1
        tally.oldest = min(tally.oldest, letter.lastFailure)
        if letter.lastFailure >= tally.newest {
            tally.newest = letter.lastFailure
            tally.example = letter.envelope.id
        }
        tallies[key] = tally
    }

    /// The groups with the largest first.
    var sorted: [(key: Key, tally: Tally)] {
        tallies.map { (key: $0.key, tally: $0.value) }.sorted {
            ($1.tally.count, $0.key.topic, $0.key.error) < ($0.tally.count, $1.key.topic, $1.key.error)
        }
    }

    /// Returns a text with one `#` in place of each word that contains a digit, so that errors that differ in an
    /// identifier only are counted together.
    static func shape(of message: String) -> String {
        var shape: [UInt8] = []
        var word: [UInt8] = []
        var hasDigit = false
        func finish(_ shape: inout [UInt8]) {
            if hasDigit { shape.append(UInt8(ascii: "#")) } else { shape += word }
        }
        for byte in message.utf8 {
            let isDigit = (0x30...0x39).contains(byte)
            let isWord =
                isDigit || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x2D || byte >= 0x80
            if isWord {
                word.append(byte)
                hasDigit = hasDigit || isDigit
            } else {
                finish(&shape)
                (word, hasDigit) = ([], false)
                shape.append(byte)
            }
            if shape.count > maximumErrorLength { break }
        }
        finish(&shape)
        return String(decoding: shape.prefix(maximumErrorLength), as: UTF8.self)
    }
}
