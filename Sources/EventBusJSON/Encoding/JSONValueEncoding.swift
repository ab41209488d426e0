/// The encoder of one value, which is passed to a type's `encode(to:)`.
struct JSONValueEncoding: Encoder, SingleValueEncodingContainer {
    let state: JSONEncodingState
    let frame: UInt32

    @inline(__always)
    init(state: JSONEncodingState, frame: UInt32) {
        self.state = state
        self.frame = frame
    }

    var codingPath: [any CodingKey] { state.codingPath }
    var userInfo: [CodingUserInfoKey: Any] { state.options.userInfo }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        KeyedEncodingContainer(JSONKeyedEncoding(state: state, frame: state.open(.object, in: frame)))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        JSONUnkeyedEncoding(state: state, frame: state.open(.array, in: frame))
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    /// Writes the only value of the frame with `body`.
    @inline(__always)
    private func write(_ body: () throws -> Void) throws {
        let core = state.core
        guard core.pointee.frame.id == frame else { throw state.closed() }
        guard core.pointee.frame.kind == .empty else { throw state.misuse("A value was already encoded.") }
        try body()
        core.pointee.frame.kind = .single
    }

    func encodeNil() throws { try write { state.core.pointee.write("null") } }
    func encode(_ value: Bool) throws { try write { state.core.pointee.write(value) } }
    func encode(_ value: String) throws { try write { state.core.pointee.write(string: value) } }
    func encode(_ value: Double) throws { try write { try float(value) } }
    func encode(_ value: Float) throws { try write { try float(value) } }
    func encode<Value: Encodable>(_ value: Value) throws { try write { try state.writeValue(value) } }

    @inline(__always)
    private func float(_ value: some BinaryFloatingPoint) throws {
        guard state.writeFloat(value) else { throw state.nonConforming(value, path: codingPath) }
    }
    func encode(_ value: Int) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int8) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int16) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int32) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int64) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt8) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt16) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt32) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt64) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: Int128) throws { try write { state.core.pointee.write(integer: value) } }
    func encode(_ value: UInt128) throws { try write { state.core.pointee.write(integer: value) } }
}
