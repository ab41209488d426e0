/// The decoder of one value, which is passed to a type's `init(from:)`.
struct JSONValueDecoding: Decoder, SingleValueDecodingContainer {
    let document: JSONDocument
    private let index: UInt32
    /// One more than the index of the path of an absent value, or zero.
    private let absentPath: UInt32

    @inline(__always)
    init(document: JSONDocument, token: Int) {
        self.document = document
        index = UInt32(truncatingIfNeeded: token)
        absentPath = 0
    }

    /// Creates a decoder of an absent value, which decodes as `null`.
    init(document: JSONDocument, absentAt path: [any CodingKey]) {
        self.document = document
        index = UInt32(document.absentToken)
        document.absentPaths.append(path)
        absentPath = UInt32(document.absentPaths.count)
    }

    @inline(__always)
    private var token: Int { Int(index) }

    var codingPath: [any CodingKey] {
        absentPath == 0 ? document.codingPath(to: token) : document.absentPaths[Int(absentPath) - 1]
    }

    var userInfo: [CodingUserInfoKey: Any] { document.options.userInfo }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard document.tokens[token].kind == .object else {
            throw document.containerFailure([String: Any].self, "keyed", at: token, path: codingPath)
        }
        return KeyedDecodingContainer(try JSONKeyedDecoding<Key>(document: document, object: token))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard document.tokens[token].kind == .array else {
            throw document.containerFailure([Any].self, "unkeyed", at: token, path: codingPath)
        }
        return JSONUnkeyedDecoding(document: document, array: token)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

    func decodeNil() -> Bool { document.isNull(token) }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try document.decode(type, at: token) { codingPath }
    }

    @inline(__always)
    private func unwrap<Value>(_ value: Value?) throws -> Value {
        guard let value else { throw document.failure(Value.self, at: token, path: codingPath) }
        return value
    }

    func decode(_ type: Bool.Type) throws -> Bool { try unwrap(document.bool(token)) }
    func decode(_ type: String.Type) throws -> String { try unwrap(document.string(token)) }
    func decode(_ type: Double.Type) throws -> Double {
        try unwrap(document.double(token) ?? document.nonConformingFloat(token, as: type))
    }
    func decode(_ type: Float.Type) throws -> Float {
        try unwrap(document.float(token) ?? document.nonConformingFloat(token, as: type))
    }
    func decode(_ type: Int.Type) throws -> Int { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: Int8.Type) throws -> Int8 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: Int16.Type) throws -> Int16 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: Int32.Type) throws -> Int32 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: Int64.Type) throws -> Int64 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: UInt.Type) throws -> UInt { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: Int128.Type) throws -> Int128 { try unwrap(document.integer(token, as: type)) }
    func decode(_ type: UInt128.Type) throws -> UInt128 { try unwrap(document.integer(token, as: type)) }
}

extension JSONDocument {
    /// Returns the error for a value that is not a container of the requested kind.
    @inline(never)
    func containerFailure(
        _ type: any Any.Type,
        _ kind: String,
        at token: Int,
        path: @autoclosure () -> [any CodingKey]
    ) -> any Error {
        if isNull(token) {
            return DecodingError.valueNotFound(
                type,
                .init(
                    codingPath: path(),
                    debugDescription: "Cannot get \(kind) decoding container -- found null value instead"
                )
            )
        }
        return DecodingError.typeMismatch(
            type,
            .init(
                codingPath: path(),
                debugDescription: "Expected to decode \(type) but found \(tokens[token].typeDescription) instead."
            )
        )
    }
}
