/// A defect in a JSON text or in one of its values.
struct JSONSyntaxError: Error {
    enum Defect {
        case endOfText
        case unexpected(UInt8, context: String)
        case tooDeep
        case tooLong
        case invalidHexadecimal
        case invalidEscape(UInt8)
        case controlCharacter(UInt8)
        case missingLowSurrogate
        case loneSurrogate
        case invalidUTF8
        case undecodableText(String)
        case leadingZero
        case notRepresentable(String)
    }

    var defect: Defect
    /// The offset of the defect in the text, if it has one.
    var offset: Int?

    init(_ defect: Defect, at offset: Int? = nil) {
        self.defect = defect
        self.offset = offset
    }

    private var reason: String {
        switch defect {
        case .endOfText: "unexpected end of the text"
        case .unexpected(let byte, let context):
            "unexpected \(Self.name(of: byte))" + (context.isEmpty ? "" : " \(context)")
        case .tooDeep: "arrays and objects are nested more than \(JSONScanner.maximumDepth) deep"
        case .tooLong: "the text has 4 GB or more"
        case .invalidHexadecimal: "an escape \\u without four hexadecimal digits"
        case .invalidEscape(let byte): "unknown escape \(Self.name(of: byte))"
        case .controlCharacter(let byte): "unescaped control character 0x\(String(byte, radix: 16))"
        case .missingLowSurrogate: "an escaped high surrogate without its low surrogate"
        case .loneSurrogate: "an escaped low surrogate without its high surrogate"
        case .invalidUTF8: "a string that is not UTF-8"
        case .undecodableText(let encoding): "the text seems to be \(encoding), but is not valid"
        case .leadingZero: "a number with a leading zero"
        case .notRepresentable(let number): "the number \(number) is not representable in Swift"
        }
    }

    /// Returns the error that decoding throws, with the line and column of the defect in `text`.
    func decodingError(in text: UnsafeBufferPointer<UInt8>) -> DecodingError {
        var description = "The given data was not valid JSON: \(reason)"
        if let offset {
            let before = text.prefix(offset)
            let line = before.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
            let column = before.reversed().prefix { $0 != UInt8(ascii: "\n") }.count + 1
            description += " at line \(line), column \(column)"
        }
        return .dataCorrupted(.init(codingPath: [], debugDescription: description + "."))
    }

    private static func name(of byte: UInt8) -> String {
        (0x21...0x7e).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "byte 0x\(String(byte, radix: 16))"
    }
}
