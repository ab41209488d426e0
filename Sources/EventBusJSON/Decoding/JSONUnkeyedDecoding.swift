/// The elements of an array.
struct JSONUnkeyedDecoding: UnkeyedDecodingContainer {
    // The fields fill 24 bytes, which an existential container stores without an allocation.
    fileprivate let document: JSONDocument
    private let array: UInt32
    private var next: UInt32
    private var position: UInt32 = 0

    init(document: JSONDocument, array: Int) {
        self.document = document
        self.array = UInt32(truncatingIfNeeded: array)
        next = UInt32(truncatingIfNeeded: array + 1)
    }

    var codingPath: [any CodingKey] { document.codingPath(to: Int(array)) }
    var count: Int? { Int(document.tokens[Int(array)].length) }
    var isAtEnd: Bool { position >= document.tokens[Int(array)].length }
    var currentIndex: Int { Int(position) }

    private var elementPath: [any CodingKey] { codingPath + [JSONPathKey(index: currentIndex)] }

    /// Returns the token of the next element without consuming it.
    @inline(__always)
    private func element(_ type: any Any.Type) throws -> Int {
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                type,
                .init(codingPath: elementPath, debugDescription: "Unkeyed container is at end.")
            )
        }
        return Int(next)
    }

    @inline(__always)
    private mutating func advance() {
        next = UInt32(truncatingIfNeeded: document.after(Int(next)))
        position &+= 1
    }

    mutating func decodeNil() throws -> Bool {
        guard document.isNull(try element(Never.self)) else { return false }
        advance()
        return true
    }

    @inline(__always)
    fileprivate mutating func decode<Value>(_ read: (Int) -> Value?) throws -> Value {
        let token = try element(Value.self)
        guard let value = read(token) else { throw document.failure(Value.self, at: token, path: elementPath) }
        advance()
        return value
    }

    @inline(__always)
    fileprivate mutating func decodeIfPresent<Value>(_ read: (Int) -> Value?) throws -> Value? {
        guard !isAtEnd else { return nil }
        guard document.isNull(Int(next)) else { return try decode(read) }
        advance()
        return nil
    }

    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let token = try element(type)
        let link = JSONPathLink(index: currentIndex, token: token, container: Int(array), outer: document.path)
        let value = try document.withPath(link) { try document.decode(type, at: token) { elementPath } }
        advance()
        return value
    }

    mutating func decodeIfPresent<Value: Decodable>(_ type: Value.Type) throws -> Value? {
        guard !isAtEnd else { return nil }
        guard document.isNull(Int(next)) else { return try decode(type) }
        advance()
        return nil
    }

    private func setPlace(of token: Int) {
        document.setPlace(of: token, in: Int(array), key: JSONPathKey(index: currentIndex))
    }

    mutating func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type
    ) throws -> KeyedDecodingContainer<NestedKey> {
        let token = try element(KeyedDecodingContainer<NestedKey>.self)
        setPlace(of: token)
        let container = try JSONValueDecoding(document: document, token: token).container(keyedBy: type)
        advance()
        return container
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let token = try element((any UnkeyedDecodingContainer).self)
        setPlace(of: token)
        let container = try JSONValueDecoding(document: document, token: token).unkeyedContainer()
        advance()
        return container
    }

    mutating func superDecoder() throws -> any Decoder {
        let token = try element((any Decoder).self)
        setPlace(of: token)
        advance()
        return JSONValueDecoding(document: document, token: token)
    }
}

// MARK: - Values without containers

extension JSONUnkeyedDecoding {
    mutating func decode(_ type: Bool.Type) throws -> Bool {
        try decode { [document] in document.bool($0) }
    }
    mutating func decodeIfPresent(_ type: Bool.Type) throws -> Bool? {
        try decodeIfPresent { [document] in document.bool($0) }
    }
    mutating func decode(_ type: String.Type) throws -> String {
        try decode { [document] in document.string($0) }
    }
    mutating func decodeIfPresent(_ type: String.Type) throws -> String? {
        try decodeIfPresent { [document] in document.string($0) }
    }
    mutating func decode(_ type: Double.Type) throws -> Double {
        try decode { [document] in document.double($0) ?? document.nonConformingFloat($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Double.Type) throws -> Double? {
        try decodeIfPresent { [document] in document.double($0) ?? document.nonConformingFloat($0, as: type) }
    }
    mutating func decode(_ type: Float.Type) throws -> Float {
        try decode { [document] in document.float($0) ?? document.nonConformingFloat($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Float.Type) throws -> Float? {
        try decodeIfPresent { [document] in document.float($0) ?? document.nonConformingFloat($0, as: type) }
    }
    mutating func decode(_ type: Int.Type) throws -> Int {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Int.Type) throws -> Int? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: Int8.Type) throws -> Int8 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Int8.Type) throws -> Int8? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: Int16.Type) throws -> Int16 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Int16.Type) throws -> Int16? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: Int32.Type) throws -> Int32 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Int32.Type) throws -> Int32? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: Int64.Type) throws -> Int64 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Int64.Type) throws -> Int64? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: UInt.Type) throws -> UInt {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: UInt.Type) throws -> UInt? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: UInt8.Type) throws -> UInt8? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: UInt16.Type) throws -> UInt16? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: UInt32.Type) throws -> UInt32? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: UInt64.Type) throws -> UInt64? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: Int128.Type) throws -> Int128 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: Int128.Type) throws -> Int128? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
    mutating func decode(_ type: UInt128.Type) throws -> UInt128 {
        try decode { [document] in document.integer($0, as: type) }
    }
    mutating func decodeIfPresent(_ type: UInt128.Type) throws -> UInt128? {
        try decodeIfPresent { [document] in document.integer($0, as: type) }
    }
}
