/// The members of an object.
struct JSONKeyedDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
    // One reference, because the container is copied for every member that is decoded.
    fileprivate let document: JSONDocument
    private let object: Int
    private let convertsKeys: Bool
    /// A Boolean value that is `false` for a small object with simple names, which is searched directly.
    private let isIndexed: Bool

    init(document: JSONDocument, object: Int) throws {
        self.document = document
        self.object = object
        convertsKeys = document.convertsKeys && ObjectIdentifier(Key.self) != document.dictionaryKeys
        isIndexed = try document.prepareMembers(of: object, convertingKeys: convertsKeys)
    }

    var codingPath: [any CodingKey] { document.codingPath(to: object) }

    var allKeys: [Key] {
        if isIndexed {
            let members = document.keyIndex(of: object, convertingKeys: convertsKeys)?.members ?? []
            return members.compactMap { Key(stringValue: $0.name) }
        }
        var keys: [Key] = []
        keys.reserveCapacity(Int(document.tokens[object].length))
        let hasDuplicates = document.tokens[object].flags.contains(.duplicates)
        var token = object + 1
        let end = Int(document.tokens[object].link)
        while token < end {
            if let name = document.string(token), let key = Key(stringValue: name) {
                if !hasDuplicates || !keys.contains(where: { $0.stringValue == name }) { keys.append(key) }
            }
            token = document.after(token + 1)
        }
        return keys
    }

    /// Returns the token of the member's value.
    @inline(__always)
    private func find(_ key: some CodingKey) -> Int? {
        if isIndexed { return document.keyIndex(of: object, convertingKeys: convertsKeys)?.value(of: key.stringValue) }
        return document.findMember(key.stringValue, of: object)
    }

    @inline(__always)
    private func value(_ key: some CodingKey) throws -> Int {
        guard let token = find(key) else { throw notFound(key) }
        return token
    }

    @inline(never)
    private func notFound(_ key: some CodingKey) -> any Error {
        DecodingError.keyNotFound(
            key,
            .init(
                codingPath: codingPath,
                debugDescription: "No value associated with key \(key) (\"\(key.stringValue)\")."
            )
        )
    }

    func contains(_ key: Key) -> Bool { find(key) != nil }

    func decodeNil(forKey key: Key) throws -> Bool { document.isNull(try value(key)) }

    @inline(__always)
    fileprivate func decode<Value>(_ key: Key, _ read: (Int) -> Value?) throws -> Value {
        let token = try value(key)
        guard let value = read(token) else {
            throw document.failure(Value.self, at: token, path: codingPath + [key])
        }
        return value
    }

    @inline(__always)
    fileprivate func decodeIfPresent<Value>(_ key: Key, _ read: (Int) -> Value?) throws -> Value? {
        guard let token = find(key), !document.isNull(token) else { return nil }
        guard let value = read(token) else {
            throw document.failure(Value.self, at: token, path: codingPath + [key])
        }
        return value
    }

    @inline(__always)
    private func decode<Value: Decodable>(_ type: Value.Type, at token: Int, _ key: Key) throws -> Value {
        try document.withPath(key, to: token, in: object) {
            try document.decode(type, at: token) { codingPath + [key] }
        }
    }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try decode(type, at: try value(key), key)
    }

    func decodeIfPresent<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value? {
        guard let token = find(key), !document.isNull(token) else { return nil }
        return try decode(type, at: token, key)
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type,
        forKey key: Key
    ) throws -> KeyedDecodingContainer<NestedKey> {
        let token = try value(key)
        document.setPlace(of: token, in: object, key: key)
        return try JSONValueDecoding(document: document, token: token).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        let token = try value(key)
        document.setPlace(of: token, in: object, key: key)
        return try JSONValueDecoding(document: document, token: token).unkeyedContainer()
    }

    func superDecoder() throws -> any Decoder { superDecoder(for: JSONPathKey.super) }
    func superDecoder(forKey key: Key) throws -> any Decoder { superDecoder(for: key) }

    private func superDecoder(for key: some CodingKey) -> JSONValueDecoding {
        guard let token = find(key) else {
            return JSONValueDecoding(document: document, absentAt: codingPath + [key])
        }
        document.setPlace(of: token, in: object, key: key)
        return JSONValueDecoding(document: document, token: token)
    }
}

// MARK: - Values without containers

extension JSONKeyedDecoding {
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try decode(key) { document.bool($0) }
    }
    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? {
        try decodeIfPresent(key) { document.bool($0) }
    }
    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        try decode(key) { document.string($0) }
    }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        try decodeIfPresent(key) { document.string($0) }
    }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        try decode(key) { document.double($0) ?? document.nonConformingFloat($0, as: type) }
    }
    func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? {
        try decodeIfPresent(key) { document.double($0) ?? document.nonConformingFloat($0, as: type) }
    }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
        try decode(key) { document.float($0) ?? document.nonConformingFloat($0, as: type) }
    }
    func decodeIfPresent(_ type: Float.Type, forKey key: Key) throws -> Float? {
        try decodeIfPresent(key) { document.float($0) ?? document.nonConformingFloat($0, as: type) }
    }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: Int8.Type, forKey key: Key) throws -> Int8? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: Int16.Type, forKey key: Key) throws -> Int16? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: Int32.Type, forKey key: Key) throws -> Int32? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: UInt.Type, forKey key: Key) throws -> UInt? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: UInt8.Type, forKey key: Key) throws -> UInt8? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: UInt16.Type, forKey key: Key) throws -> UInt16? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: UInt32.Type, forKey key: Key) throws -> UInt32? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: Int128.Type, forKey key: Key) throws -> Int128? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
    func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 {
        try decode(key) { document.integer($0, as: type) }
    }
    func decodeIfPresent(_ type: UInt128.Type, forKey key: Key) throws -> UInt128? {
        try decodeIfPresent(key) { document.integer($0, as: type) }
    }
}
