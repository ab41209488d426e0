/// The headers of W3C Trace Context, which continue a trace in another process.
enum TraceParent {
    static let header = "traceparent"
    static let stateHeader = "tracestate"

    /// The maximum length of a `tracestate` that is passed on. The standard requires at least 512 characters.
    static let maximumStateLength = 512

    /// Returns a header of version 00.
    static func format(_ identity: SpanIdentity) -> String {
        "00-\(identity.traceID)-\(identity.spanID)-\(identity.isSampled ? "01" : "00")"
    }

    /// Parses a header of any version according to the standard. Returns `nil` if it is invalid, in which case it is
    /// ignored.
    static func parse(_ text: String, state: String?) -> SpanIdentity? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 55, bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
            let version = number(bytes[0..<2]), version != 0xFF,
            // A later version may append data after another dash.
            bytes.count == 55 || (version > 0 && bytes[55] == dash),
            let high = number(bytes[3..<19]), let low = number(bytes[19..<35]), high != 0 || low != 0,
            let span = number(bytes[36..<52]), span != 0,
            let flags = number(bytes[53..<55])
        else { return nil }
        return SpanIdentity(
            traceHigh: high,
            traceLow: low,
            span: span,
            isSampled: flags & 1 == 1,
            traceState: state.flatMap(validState) ?? ""
        )
    }

    private static let dash = UInt8(ascii: "-")

    /// Returns the number that these lowercase hexadecimal digits represent.
    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    /// Returns the state if it seems valid: at most 32 printable members, each with a key and a value.
    private static func validState(_ state: String) -> String? {
        let members = state.split(separator: ",").map { $0.trimmingSuffix(while: \.isWhitespace) }
        guard state.utf8.count <= maximumStateLength, members.count <= 32,
            state.utf8.allSatisfy({ (0x20...0x7E).contains($0) || $0 == 0x09 }),
            members.allSatisfy({ $0.contains("=") || $0.allSatisfy(\.isWhitespace) })
        else { return nil }
        return state
    }
}

extension Substring {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> Substring {
        var rest = self
        while let last = rest.last, predicate(last) { rest.removeLast() }
        return rest
    }
}
