/// A text that is compared byte by byte, as a broker and a store compare names.
///
/// A Swift string equals every other string that differs from it only in Unicode normalization: `é` may be one scalar,
/// or an `e` with an accent. On the wire these are two names. Every text that serves as a name (a topic, a key, a
/// locked resource) is therefore compared, hashed and sorted as this type.
package struct ExactText<Text: StringProtocol & Sendable>: Sendable {
    /// The text.
    package var text: Text

    /// Wraps a text.
    package init(_ text: Text) {
        self.text = text
    }

    private func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        if let result = text.utf8.withContiguousStorageIfAvailable(body) { return result }
        return unsafe Array(text.utf8).withUnsafeBufferPointer(body)
    }
}

extension ExactText: Hashable {
    package static func == (lhs: Self, rhs: Self) -> Bool {
        unsafe lhs.withBytes { left in
            unsafe rhs.withBytes { right in
                guard left.count == right.count else { return false }
                guard let start = left.baseAddress, let other = right.baseAddress else { return true }
                // Safe because both buffers have `left.count` bytes during this call.
                return unsafe start == other || Platform.areEqual(start, other, count: left.count)
            }
        }
    }

    package func hash(into hasher: inout Hasher) {
        unsafe withBytes { bytes in
            // Safe because the buffer is valid during this call.
            unsafe hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
            // Terminates the text, so that the next hashed value is not its continuation.
            hasher.combine(0xFF as UInt8)
        }
    }
}

extension ExactText: Comparable {
    package static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.text.utf8.lexicographicallyPrecedes(rhs.text.utf8)
    }
}

extension ExactText: CustomStringConvertible {
    package var description: String { String(text) }
}

/// A string that is compared byte by byte.
package typealias ExactString = ExactText<String>

extension String {
    /// Returns a Boolean value indicating whether the text's bytes begin with those of `prefix`.
    ///
    /// `hasPrefix` compares characters, and a combining accent after the prefix changes its last character.
    package func beginsWithBytes(of prefix: String) -> Bool {
        utf8.starts(with: prefix.utf8)
    }

    /// The words between the dots, separated as by the broker: at each byte that is a dot.
    var topicWords: [Substring] {
        utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map(Substring.init)
    }
}
