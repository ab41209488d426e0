/// A scanner that reads a JSON text once and builds the flat index of its values.
///
/// It checks the structure only. The contents of strings and numbers are checked when they are decoded, so a malformed
/// value that nobody reads does no harm. A comma after the last element or member is accepted.
struct JSONScanner {
    /// The maximum nesting depth of arrays and objects.
    static let maximumDepth = 512

    /// The text. It stays valid for the lifetime of the scanner.
    private let text: UnsafePointer<UInt8>
    private let end: Int
    private var position = 0
    /// The index, initialized up to `count`. The scanner owns it until `scan` returns it.
    private var tokens: UnsafeMutablePointer<JSONToken>
    private var count = 0
    private var capacity: Int

    private init(_ text: UnsafeBufferPointer<UInt8>, at start: UnsafePointer<UInt8>) {
        self.text = start
        end = text.count
        // Ordinary events have one token for every eight to ten bytes.
        capacity = text.count / 8 + 8
        tokens = .allocate(capacity: capacity)
    }

    /// Scans `text` and returns its tokens, followed by one more: a `null` that represents absent values.
    ///
    /// The caller owns the returned memory. The tokens are trivial and need no deinitialization.
    static func scan(
        _ text: UnsafeBufferPointer<UInt8>
    ) throws(JSONSyntaxError) -> (tokens: UnsafeMutablePointer<JSONToken>, count: Int) {
        guard let start = text.baseAddress, text.count > 0 else { throw JSONSyntaxError(.endOfText, at: 0) }
        guard text.count < Int(UInt32.max) else { throw JSONSyntaxError(.tooLong) }
        var scanner = JSONScanner(text, at: start)
        do throws(JSONSyntaxError) {
            try scanner.scanText()
        } catch {
            scanner.tokens.deallocate()
            throw error
        }
        _ = scanner.append(JSONToken(kind: .null, offset: 0))
        return (scanner.tokens, scanner.count)
    }

    /// Appends a token and returns its index.
    @inline(__always)
    private mutating func append(_ token: JSONToken) -> UInt32 {
        if count == capacity { grow() }
        (tokens + count).initialize(to: token)
        count += 1
        // A text of less than 4 GB has at most one token more than it has bytes.
        return UInt32(truncatingIfNeeded: count &- 1)
    }

    @inline(never)
    private mutating func grow() {
        capacity *= 2
        let larger = UnsafeMutablePointer<JSONToken>.allocate(capacity: capacity)
        larger.moveInitialize(from: tokens, count: count)
        tokens.deallocate()
        tokens = larger
    }

    /// Skips white space and returns the byte after it, without consuming that byte.
    @inline(__always)
    private mutating func next() throws(JSONSyntaxError) -> UInt8 {
        while position < end {
            let byte = text[position]
            switch byte {
            case 0x20, 0x0a, 0x0d, 0x09: position &+= 1
            default: return byte
            }
        }
        throw JSONSyntaxError(.endOfText, at: end)
    }

    private mutating func scanText() throws(JSONSyntaxError) {
        var depth = 0
        // The innermost open container. While a container is open, its `link` refers to the container around it.
        var open: UInt32 = 0
        value: while true {
            let byte = try next()
            switch byte {
            case UInt8(ascii: "\""):
                try scanString()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard depth < Self.maximumDepth else { throw JSONSyntaxError(.tooDeep, at: position) }
                depth &+= 1
                let isObject = byte == UInt8(ascii: "{")
                open = append(
                    JSONToken(
                        kind: isObject ? .object : .array,
                        offset: UInt32(truncatingIfNeeded: count &+ 1),
                        link: open
                    )
                )
                position &+= 1
                let first = try next()
                if first != (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
                    if isObject { try scanName(first) }
                    continue value
                }
                position &+= 1
                depth &-= 1
                open = close(open)
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                scanNumber()
            case UInt8(ascii: "t"):
                try scanLiteral("true", .true)
            case UInt8(ascii: "f"):
                try scanLiteral("false", .false)
            case UInt8(ascii: "n"):
                try scanLiteral("null", .null)
            default:
                throw JSONSyntaxError(.unexpected(byte, context: ""), at: position)
            }
            // After a value: count it, and close the containers that end here.
            while true {
                guard depth > 0 else { return try expectEnd() }
                tokens[Int(open)].length &+= 1
                let isObject = tokens[Int(open)].kind == .object
                let ending = isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")
                var byte = try next()
                if byte == UInt8(ascii: ",") {
                    position &+= 1
                    byte = try next()
                    if byte != ending {
                        if isObject { try scanName(byte) }
                        continue value
                    }
                }
                guard byte == ending else {
                    throw JSONSyntaxError(
                        .unexpected(byte, context: isObject ? "in an object" : "in an array"),
                        at: position
                    )
                }
                position &+= 1
                depth &-= 1
                open = close(open)
            }
        }
    }

    /// Closes a container and returns the one around it.
    @inline(__always)
    private func close(_ container: UInt32) -> UInt32 {
        let outer = tokens[Int(container)].link
        tokens[Int(container)].link = UInt32(truncatingIfNeeded: count)
        return outer
    }

    private mutating func expectEnd() throws(JSONSyntaxError) {
        while position < end {
            let byte = text[position]
            switch byte {
            case 0x20, 0x0a, 0x0d, 0x09: position &+= 1
            default: throw JSONSyntaxError(.unexpected(byte, context: "after the value"), at: position)
            }
        }
    }

    /// Scans the name of a member, which starts with `first` at the current position, and its colon.
    @inline(__always)
    private mutating func scanName(_ first: UInt8) throws(JSONSyntaxError) {
        guard first == UInt8(ascii: "\"") else {
            throw JSONSyntaxError(.unexpected(first, context: "instead of the name of a member"), at: position)
        }
        try scanString()
        let name = tokens + (count &- 1)
        if name.pointee.flags == .simple {
            name.pointee.link = jsonKeyHash(text + Int(name.pointee.offset), Int(name.pointee.length))
        }
        let colon = try next()
        guard colon == UInt8(ascii: ":") else {
            throw JSONSyntaxError(.unexpected(colon, context: "instead of the colon behind a name"), at: position)
        }
        position &+= 1
    }

    /// Scans a string whose opening quotation mark is at the current position.
    @inline(__always)
    private mutating func scanString() throws(JSONSyntaxError) {
        let start = position &+ 1
        var at = start
        var others: UInt64 = 0
        while at &+ 8 <= end {
            let eight = EightBytes(at: text + at)
            let specials = eight.specials
            if specials != 0 {
                let clean = specials.trailingZeroBitCount & ~7
                others |= eight.nonASCII & ((1 << UInt64(clean)) &- 1)
                at &+= clean >> 3
                break
            }
            others |= eight.nonASCII
            at &+= 8
        }
        while at < end, !isSpecialInString(text[at]) {
            others |= UInt64(text[at] & 0x80)
            at &+= 1
        }
        guard at < end else { throw JSONSyntaxError(.endOfText, at: end) }
        var flags: JSONToken.Flags = others == 0 ? .simple : [.simple, .nonASCII]
        if text[at] != UInt8(ascii: "\"") {
            at = try endOfComplexString(from: at)
            flags = .nonASCII
        }
        position = at &+ 1
        _ = append(
            JSONToken(
                kind: .string,
                flags: flags,
                offset: UInt32(truncatingIfNeeded: start),
                length: UInt32(truncatingIfNeeded: at &- start)
            )
        )
    }

    /// Returns the offset of the closing quotation mark of a string with escapes. The escapes are checked when the
    /// string is decoded.
    @inline(never)
    private func endOfComplexString(from start: Int) throws(JSONSyntaxError) -> Int {
        var at = start
        while at < end {
            while at &+ 8 <= end {
                // Control characters stop it too, and are skipped below.
                let specials = EightBytes(at: text + at).specials
                at &+= specials.trailingZeroBitCount >> 3
                if specials != 0 { break }
            }
            guard at < end else { break }
            let byte = text[at]
            at += 1
            if byte == UInt8(ascii: "\"") { return at - 1 }
            guard byte == UInt8(ascii: "\\") else { continue }
            guard at < end else { break }
            let escaped = text[at]
            at += 1
            if escaped == UInt8(ascii: "u") {
                guard at + 4 <= end else { break }
                for offset in 0..<4 where text[at + offset] == UInt8(ascii: "\"") {
                    throw JSONSyntaxError(.invalidHexadecimal, at: at)
                }
                at += 4
            }
        }
        throw JSONSyntaxError(.endOfText, at: end)
    }

    @inline(__always)
    private mutating func scanNumber() {
        let start = position
        position &+= 1
        while position < end, text[position] &- UInt8(ascii: "0") < 10 { position &+= 1 }
        var flags: JSONToken.Flags = .digitsOnly
        scan: while position < end {
            switch text[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"),
                UInt8(ascii: "+"), UInt8(ascii: "-"):
                flags = []
                position &+= 1
            default:
                break scan
            }
        }
        _ = append(
            JSONToken(
                kind: .number,
                flags: flags,
                offset: UInt32(truncatingIfNeeded: start),
                length: UInt32(truncatingIfNeeded: position &- start)
            )
        )
    }

    @inline(__always)
    private mutating func scanLiteral(_ literal: StaticString, _ kind: JSONToken.Kind) throws(JSONSyntaxError) {
        for index in 0..<literal.utf8CodeUnitCount {
            guard position + index < end else { throw JSONSyntaxError(.endOfText, at: end) }
            guard text[position + index] == literal.utf8Start[index] else {
                let byte = text[position + index]
                throw JSONSyntaxError(.unexpected(byte, context: "instead of \(literal)"), at: position + index)
            }
        }
        _ = append(JSONToken(kind: kind, offset: UInt32(truncatingIfNeeded: position)))
        position += literal.utf8CodeUnitCount
    }
}
