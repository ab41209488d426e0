internal import CPostgres

/// The values of a statement in the memory layout that libpq takes.
struct ParameterList {
    /// The format of a value in the protocol.
    private enum Format {
        static let text: Int32 = 0
        static let binary: Int32 = 1
    }

    private var storage: [UInt8] = []
    /// The position of each value in the storage, or `nil` for `NULL`.
    private var starts: [Int?] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []

    init(_ values: [PostgresValue]) {
        for value in values {
            switch value {
            case .null: add(nil, Format.text)
            // Binary, because a C string ends at the first zero byte.
            case .text(let text): add(Array(text.utf8), Format.binary)
            case .bytes(let bytes): add(bytes, Format.binary)
            case .integer(let number): add(Array("\(number)".utf8), Format.text)
            case .boolean(let flag): add([UInt8(ascii: flag ? "t" : "f")], Format.text)
            case .integers(let numbers):
                add(Array("{\(numbers.map(String.init).joined(separator: ","))}".utf8), Format.text)
            case .texts(let texts): add(Self.array(texts), Format.text)
            }
        }
    }

    private mutating func add(_ bytes: [UInt8]?, _ format: Int32) {
        starts.append(bytes == nil ? nil : storage.count)
        lengths.append(Int32(clamping: bytes?.count ?? 0))
        formats.append(format)
        guard let bytes else { return }
        storage += bytes
        storage.append(0)
    }

    /// Returns the literal of an array. A text with a zero byte is left out, because no stored text equals it.
    private static func array(_ texts: [String]) -> [UInt8] {
        var literal: [UInt8] = [UInt8(ascii: "{")]
        for text in texts where !text.utf8.contains(0) {
            if literal.count > 1 { literal.append(UInt8(ascii: ",")) }
            literal.append(UInt8(ascii: "\""))
            for byte in text.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { literal.append(UInt8(ascii: "\\")) }
                literal.append(byte)
            }
            literal.append(UInt8(ascii: "\""))
        }
        literal.append(UInt8(ascii: "}"))
        return literal
    }

    /// Calls `body` with the values, which are valid until it returns.
    func withPointers<Result>(
        _ body: (
            _ count: Int32, _ values: [UnsafePointer<CChar>?], _ lengths: [Int32], _ formats: [Int32]
        ) -> Result
    ) -> Result {
        storage.withUnsafeBytes { buffer in
            let values = starts.map { start -> UnsafePointer<CChar>? in
                start.flatMap { buffer.baseAddress?.advanced(by: $0).assumingMemoryBound(to: CChar.self) }
            }
            return body(Int32(clamping: starts.count), values, lengths, formats)
        }
    }
}
