import TerminalText

/// The rules for names that are sent to the broker. A name that is too long would end the connection.
enum BrokerName {
    /// The maximum length of the name of a group, in bytes.
    private static let maximumGroupLength = 100
    /// The maximum length of the name of a queue, in bytes.
    private static let maximumQueueLength = 255

    /// Returns a description of the problem with the name of a group, or `nil` if it is valid.
    static func problem(ofGroup name: String) -> String? {
        let isAllowed = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
        }
        if isAllowed, (1...maximumGroupLength).contains(name.utf8.count) { return nil }
        return "'\(name.cut(toUTF8Length: maximumGroupLength))' names no group, whose name has 1 to "
            + "\(maximumGroupLength) letters, digits, _ and -"
    }

    /// Returns a description of the problem with the name of a queue, or `nil` if it is valid.
    static func problem(ofQueue name: String) -> String? {
        if (1...maximumQueueLength).contains(name.utf8.count) { return nil }
        return "'\(name.cut(toUTF8Length: maximumGroupLength))' names no queue, whose name has 1 to "
            + "\(maximumQueueLength) bytes"
    }
}
