/// The elements of an array.
struct JSONUnkeyedEncoding: UnkeyedEncodingContainer {
    private let state: JSONEncodingState
    private let frame: UInt32

    init(state: JSONEncodingState, frame: UInt32) {
        self.state = state
        self.frame = frame
    }

    var codingPath: [any CodingKey] { state.codingPath }
    var count: Int { state.core.pointee.frame.id == frame ? state.core.pointee.frame.count : 0 }

    private var elementKey: JSONPathKey { JSONPathKey(index: count) }

    /// Writes an element with `body`. If the element cannot be written, the text is left unchanged.
    @inline(__always)
    private func write(_ body: () throws -> Void) throws {
        let core = state.core
        let before = core.pointee.count
        let start = try state.beginElement(in: frame)
        do {
            try body()
        } catch {
            core.pointee.count = before
            throw error
        }
        state.endElement(start)
    }

    func encodeNil() throws { try write { state.core.pointee.write("null") } }
    func encode(_ value: Bool) throws { try write { state.core.pointee.write(value) } }
    func encode(_ value: String) throws { try write { state.core.pointee.write(string: value) } }
    func encode(_ value: Double) throws { try write { try float(value) } }
    func encode(_ value: Float) throws { try write { try float(value) } }
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
    func encode<Value: Encodable>(_ value: Value) throws {
        try write {
            let core = state.core
            let link = JSONPathLink(index: core.pointee.frame.count, outer: core.pointee.path)
            try withUnsafePointer(to: link) { link in
                core.pointee.path = link
                defer { core.pointee.path = link.pointee.outer }
                try state.writeValue(value)
            }
        }
    }

    @inline(__always)
    private func float(_ value: some BinaryFloatingPoint) throws {
        guard state.writeFloat(value) else { throw state.nonConforming(value, path: codingPath + [elementKey]) }
    }

    func nestedContainer<NestedKey: CodingKey>(keyedBy type: NestedKey.Type) -> KeyedEncodingContainer<NestedKey> {
        let (child, frame) = state.child(of: frame, elementKey, kind: .object)
        return KeyedEncodingContainer(JSONKeyedEncoding<NestedKey>(state: child, frame: frame))
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        let (child, frame) = state.child(of: frame, elementKey, kind: .array)
        return JSONUnkeyedEncoding(state: child, frame: frame)
    }

    func superEncoder() -> any Encoder {
        let (child, frame) = state.child(of: frame, elementKey, kind: .empty)
        return JSONValueEncoding(state: child, frame: frame)
    }
}
