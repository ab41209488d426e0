extension HeaderTable {
    /// The size of the table on the wire, and the length of the longest name in it at any depth, in bytes.
    package var extent: (size: Int, longestName: Int) {
        var (size, longest) = (4, 0)
        for (name, value) in self {
            let length = name.utf8.count
            let inner = value.extent
            size += 1 + length + inner.size
            longest = Swift.max(longest, length, inner.longestName)
        }
        return (size, longest)
    }
}

extension HeaderValue {
    /// The size of the value and its kind on the wire, and the length of the longest name in it, in bytes.
    package var extent: (size: Int, longestName: Int) {
        switch self {
        case .string(let text): return (5 + text.utf8.count, 0)
        case .bytes(let bytes): return (5 + bytes.count, 0)
        case .int, .double, .timestamp: return (9, 0)
        case .bool: return (2, 0)
        case .null: return (1, 0)
        case .array(let values):
            return values.reduce((5, 0)) { sum, value in
                let inner = value.extent
                return (sum.0 + inner.size, max(sum.1, inner.longestName))
            }
        case .table(let values):
            let inner = values.extent
            return (1 + inner.size, inner.longestName)
        }
    }
}

extension Envelope {
    /// An upper bound of the bytes that the envelope's own fields take in addition to the user's headers.
    var ownHeaderSize: Int {
        let texts =
            id.wireLength + topic.rawValue.utf8.count + contentType.utf8.count + (contentEncoding?.utf8.count ?? 0)
            + (source?.utf8.count ?? 0)
            + (correlationID?.wireLength ?? 0) + (causationID?.wireLength ?? 0) + (partitionKey?.utf8.count ?? 0)
        // The lengths and names of seven properties and four headers.
        return texts + 160
    }
}
