#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// The members of an object.
struct JSONKeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
    private let state: JSONEncodingState
    private let frame: UInt32
    private let convertsKeys: Bool

    init(state: JSONEncodingState, frame: UInt32) {
        self.init(state: state, frame: frame, isDictionary: ObjectIdentifier(Key.self) == JSONDictionaryKeys.type)
    }

    init(state: JSONEncodingState, frame: UInt32, isDictionary: Bool) {
        self.state = state
        self.frame = frame
        convertsKeys = state.convertsKeys && !isDictionary
        if isDictionary, state.core.pointee.frame.id == frame { state.core.pointee.frame.isSorted = true }
    }

    var codingPath: [any CodingKey] { state.codingPath }

    @inline(__always)
    private func name(of key: some CodingKey) -> String {
        convertsKeys ? convertedName(of: key) : key.stringValue
    }

    @inline(never)
    private func convertedName(of key: some CodingKey) -> String {
        switch state.options.keyEncodingStrategy {
        case .useDefaultKeys: return key.stringValue
        case .convertToSnakeCase: return JSONKeyConversion.snakeCase(key.stringValue)
        case .custom(let convert): return convert(codingPath + [key]).stringValue
        }
    }

    /// Writes a member whose value `body` writes. If the value cannot be written, the text is left unchanged.
    @inline(__always)
    private func write(_ key: Key, _ body: () throws -> Void) throws {
        let core = state.core
        let before = core.pointee.count
        let start = try state.beginMember(name(of: key), in: frame)
        let valueStart = core.pointee.count
        do {
            try body()
        } catch {
            core.pointee.count = before
            throw error
        }
        state.endMember(start, valueStart: valueStart)
    }

    func encodeNil(forKey key: Key) throws { try write(key) { state.core.pointee.write("null") } }
    func encode(_ value: Bool, forKey key: Key) throws { try write(key) { state.core.pointee.write(value) } }
    func encode(_ value: String, forKey key: Key) throws { try write(key) { state.core.pointee.write(string: value) } }
    func encode(_ value: Double, forKey key: Key) throws { try write(key) { try float(value, key) } }
    func encode(_ value: Float, forKey key: Key) throws { try write(key) { try float(value, key) } }
    func encode(_ value: Int, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int8, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int16, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int32, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int64, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt8, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt16, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt32, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt64, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int128, forKey key: Key) throws { try write(key) { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt128, forKey key: Key) throws {
        try write(key) { state.core.pointee.write(integer: value) }
    }
    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try write(key) {
            try withUnsafePointer(to: key) { key in
                let core = state.core
                let link = JSONPathLink(key: (UnsafeRawPointer(key), Key.self), outer: core.pointee.path)
                try withUnsafePointer(to: link) { link in
                    core.pointee.path = link
                    defer { core.pointee.path = link.pointee.outer }
                    try state.writeValue(value)
                }
            }
        }
    }

    @inline(__always)
    private func float(_ value: some BinaryFloatingPoint, _ key: Key) throws {
        guard state.writeFloat(value) else { throw state.nonConforming(value, path: codingPath + [key]) }
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type,
        forKey key: Key
    ) -> KeyedEncodingContainer<NestedKey> {
        let (child, frame) = state.child(of: frame, name(of: key), key, kind: .object)
        return KeyedEncodingContainer(JSONKeyedEncoding<NestedKey>(state: child, frame: frame))
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        let (child, frame) = state.child(of: frame, name(of: key), key, kind: .array)
        return JSONUnkeyedEncoding(state: child, frame: frame)
    }

    func superEncoder() -> any Encoder {
        let (child, frame) = state.child(of: frame, name(of: JSONPathKey.super), JSONPathKey.super, kind: .empty)
        return JSONValueEncoding(state: child, frame: frame)
    }

    func superEncoder(forKey key: Key) -> any Encoder {
        let (child, frame) = state.child(of: frame, name(of: key), key, kind: .empty)
        return JSONValueEncoding(state: child, frame: frame)
    }
}
