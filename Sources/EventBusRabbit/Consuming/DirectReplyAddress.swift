import EventBus

/// The form of the addresses that the broker gives requesters for direct replies.
///
/// The broker decodes the address of a reply in the channel that sends it. Brokers before RabbitMQ 4.2 do so without
/// checks: another form ends the channel's process and closes the connection. The form is the same in all versions since
/// RabbitMQ 3.10: the process of the requester's channel and a key, both in Base64. The process is in the external format
/// of Erlang, and its node is named by a hash, such as `generated@12345678`.
enum DirectReplyAddress {
    /// The beginning of every such address.
    static let prefix = RequestClient.replyQueue + "."

    /// Returns the name of the requester's node, or `nil` if the broker cannot decode the address.
    static func node(of address: String) -> ArraySlice<UInt8>? {
        guard address.utf8.count <= AMQPProperties.maximumTextLength, address.beginsWithBytes(of: prefix) else {
            return nil
        }
        let parts = address.utf8.dropFirst(prefix.utf8.count).split(separator: dot, omittingEmptySubsequences: false)
        guard parts.count == 2, let process = decodeBase64(parts[0]), let key = decodeBase64(parts[1]),
            !key.isEmpty
        else { return nil }
        return node(ofProcess: process)
    }

    private static let dot = UInt8(ascii: ".")

    /// Returns the name of the node of a process identifier, or `nil` if the broker encodes none like this.
    private static func node(ofProcess bytes: [UInt8]) -> ArraySlice<UInt8>? {
        // The version of the format, then the tag of a process, by that of Erlang 23 or of an earlier one.
        guard bytes.count > 4, bytes[0] == 131, bytes[1] == 88 || bytes[1] == 103 else { return nil }
        // The tag of an atom, and its length in two bytes or one.
        let (length, start): (Int, Int)
        switch bytes[2] {
        case 118: (length, start) = (Int(bytes[3]) << 8 | Int(bytes[4]), 5)
        case 119: (length, start) = (Int(bytes[3]), 4)
        default: return nil
        }
        // After the name of the node, the numbers of the process, of which the last has one byte or four.
        let rest = bytes.count - start - length
        guard rest == 12 || rest == 9 else { return nil }
        let name = bytes[start..<(start + length)]
        return isNode(name) ? name : nil
    }

    /// Returns a Boolean value indicating whether the name is a word, `@` and a hash of 27 bits.
    private static func isNode(_ name: ArraySlice<UInt8>) -> Bool {
        let parts = name.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return parts.count == 2 && (1...32).contains(parts[0].count) && parts[0].allSatisfy(letters.contains)
            && (1...9).contains(parts[1].count) && parts[1].allSatisfy(digits.contains)
    }

    /// Returns the bytes of a text in Base64 with padding, or `nil` if it is none.
    private static func decodeBase64(_ text: Substring.UTF8View.SubSequence) -> [UInt8]? {
        guard !text.isEmpty, text.count.isMultiple(of: 4) else { return nil }
        let padding = text.reversed().prefix(2).prefix { $0 == UInt8(ascii: "=") }.count
        var (bytes, bits, count): ([UInt8], UInt32, UInt32) = ([], 0, 0)
        for character in text.dropLast(padding) {
            let value: UInt8
            switch character {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> count))
            }
        }
        return bytes
    }
}
